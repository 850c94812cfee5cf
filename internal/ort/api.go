package ort

// entry is a place in struct OrtApi, counted in pointers. Entries are only ever added at the end, so that a place is the
// same in every version that has it. TestEntries compares this list with the C header.
type entry uintptr

// All of these exist in version 17 of the API.
const (
	apiGetErrorCode                      entry = 1
	apiGetErrorMessage                   entry = 2
	apiCreateEnv                         entry = 3
	apiDisableTelemetryEvents            entry = 6
	apiCreateSessionFromArray            entry = 8
	apiCreateSessionOptions              entry = 10
	apiSetSessionExecutionMode           entry = 13
	apiDisableMemPattern                 entry = 17
	apiSetIntraOpNumThreads              entry = 24
	apiSessionGetOutputTypeInfo          entry = 34
	apiCreateRunOptions                  entry = 39
	apiRunOptionsSetTerminate            entry = 46
	apiCreateTensorAsOrtValue            entry = 48
	apiCreateTensorWithDataAsOrtValue    entry = 49
	apiGetTensorMutableData              entry = 51
	apiCastTypeInfoToTensorInfo          entry = 55
	apiGetTensorElementType              entry = 60
	apiGetDimensionsCount                entry = 61
	apiGetDimensions                     entry = 62
	apiGetTensorTypeAndShape             entry = 65
	apiCreateMemoryInfo                  entry = 68
	apiAllocatorFree                     entry = 76
	apiGetAllocatorWithDefaultOptions    entry = 78
	apiReleaseStatus                     entry = 93
	apiReleaseMemoryInfo                 entry = 94
	apiReleaseSession                    entry = 95
	apiReleaseValue                      entry = 96
	apiReleaseRunOptions                 entry = 97
	apiReleaseTypeInfo                   entry = 98
	apiReleaseTensorTypeAndShapeInfo     entry = 99
	apiReleaseSessionOptions             entry = 100
	apiGetAvailableProviders             entry = 125
	apiReleaseAvailableProviders         entry = 126
	apiAddSessionConfigEntry             entry = 130
	apiRunWithBinding                    entry = 133
	apiCreateIoBinding                   entry = 134
	apiReleaseIoBinding                  entry = 135
	apiBindInput                         entry = 136
	apiBindOutputToDevice                entry = 138
	apiGetBoundOutputValues              entry = 140
	apiAppendExecutionProviderTensorRTV2 entry = 170
	apiCreateTensorRTProviderOptions     entry = 171
	apiReleaseTensorRTProviderOptions    entry = 174
	apiAppendExecutionProviderCUDAV2     entry = 204
	apiCreateCUDAProviderOptions         entry = 205
	apiReleaseCUDAProviderOptions        entry = 208
	apiAddExternalInitializers           entry = 210
	apiAppendExecutionProvider           entry = 216
)

// Versions of the API. The library prints a message when it is asked for a newer one than it has, so its own version
// decides what is asked for.
const (
	minAPI = 17
	maxAPI = 32
)

// Values of the C enumerations in use.
const (
	logFatal         = 4 // ORT_LOGGING_LEVEL_FATAL: everything else comes back as a status
	sequential       = 0 // ORT_SEQUENTIAL
	deviceAllocator  = 0 // OrtDeviceAllocator
	memTypeDefault   = 0 // OrtMemTypeDefault
	codeNotImplement = 9
	codeInvalidGraph = 10
)
