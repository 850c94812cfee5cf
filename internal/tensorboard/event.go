package tensorboard

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of fields, from tensorboard/compat/proto/{event,summary,tensor,tensor_shape}.proto.
const (
	eventWallTime    = 1  // double, seconds since 1970
	eventStep        = 2  // int64
	eventFileVersion = 3  // string, of the first event
	eventSummary     = 5  // Summary
	eventSessionLog  = 7  // SessionLog
	eventSource      = 10 // SourceMetadata

	sessionStatus = 1 // SessionLog: enum
	statusStart   = 1
	sourceWriter  = 1 // SourceMetadata: string

	summaryValue  = 1 // Summary: repeated Value
	valueTag      = 1 // string
	valueSimple   = 2 // float
	valueImage    = 4 // Image
	valueTensor   = 8 // TensorProto
	valueMetadata = 9 // SummaryMetadata

	imageHeight     = 1 // int32
	imageWidth      = 2
	imageColorspace = 3 // number of channels
	imageEncoded    = 4 // bytes of a PNG file

	metadataPlugin = 1 // SummaryMetadata: PluginData
	pluginName     = 1 // string

	tensorType    = 1 // enum
	typeString    = 7
	tensorShape   = 2 // TensorShapeProto
	tensorStrings = 8 // repeated bytes
	shapeDim      = 2 // repeated Dim
	dimSize       = 1 // int64
)

// message is a protobuf message that is being written.
type message []byte

func (m message) varint(field protowire.Number, v uint64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), v)
}

func (m message) bytes(field protowire.Number, v []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), v)
}

func (m message) text(field protowire.Number, v string) message { return m.bytes(field, []byte(v)) }

// event begins an Event. Zero steps are left out, as protobuf does with defaults.
func event(wallTime float64, step int) message {
	m := message(protowire.AppendFixed64(protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type), math.Float64bits(wallTime)))
	if step != 0 {
		m = m.varint(eventStep, uint64(step))
	}
	return m
}

// fileVersion is the first event of every file; source says what wrote it. Readers obey sessionStart in files of this version.
func fileVersion(wallTime float64, step int, source string) []byte {
	m := event(wallTime, step).text(eventFileVersion, "brain.Event:2")
	if source != "" {
		m = m.bytes(eventSource, message(nil).text(sourceWriter, source))
	}
	return m
}

// sessionStart makes readers drop this step and later ones from what they have read before.
func sessionStart(wallTime float64, step int) []byte {
	return event(wallTime, step).bytes(eventSessionLog, message(nil).varint(sessionStatus, statusStart))
}

func summary(wallTime float64, step int, values ...[]byte) []byte {
	var s message
	for _, v := range values {
		s = s.bytes(summaryValue, v)
	}
	return event(wallTime, step).bytes(eventSummary, s)
}

func scalarValue(tag string, v float32) []byte {
	m := message(nil).text(valueTag, tag)
	return protowire.AppendFixed32(protowire.AppendTag(m, valueSimple, protowire.Fixed32Type), math.Float32bits(v))
}

func imageValue(tag string, width, height int, png []byte) []byte {
	im := message(nil).varint(imageHeight, uint64(height)).varint(imageWidth, uint64(width)).varint(imageColorspace, 3).bytes(imageEncoded, png)
	return message(nil).text(valueTag, tag).bytes(valueImage, im)
}

// textValue is what TensorBoard's text plugin reads: a tensor of one string.
func textValue(tag, text string) []byte {
	dim := message(nil).varint(dimSize, 1)
	t := message(nil).varint(tensorType, typeString).bytes(tensorShape, message(nil).bytes(shapeDim, dim)).text(tensorStrings, text)
	plugin := message(nil).text(pluginName, "text")
	return message(nil).text(valueTag, tag+"/text_summary").bytes(valueTensor, t).bytes(valueMetadata, message(nil).bytes(metadataPlugin, plugin))
}
