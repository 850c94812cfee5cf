package graph

import (
	"sync"
	"unsafe"
)

// Packs shares packed weights between the programs of one network (one program per set of input shapes). It is safe for
// concurrent use. The zero value is ready.
type Packs struct {
	mu    sync.Mutex
	items map[packKey]packed
	bytes int
}

type packKey struct {
	data *byte
	size int
	kind string
}

// packed is one packed form and its size.
type packed struct {
	form  any
	bytes int
}

// Bytes is the memory that all packed forms hold together.
func (p *Packs) Bytes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// Packed returns the packed form of constant input i, building it unless another node or program already did. kind names
// the layout with everything it depends on besides the data, for example "gemmB/320x1280/t". The input must be a
// constant. build returns the packed form and its size in bytes. Constants that the compiler computed belong to one
// program: they are packed without being remembered, which would keep the original alive.
func (c *NodeCtx) Packed(i int, kind string, build func() (any, int)) any {
	p := c.pack(i, kind, build)
	if c.packed != nil {
		c.packed[p.form] = p.bytes
	}
	return p.form
}

func (c *NodeCtx) pack(i int, kind string, build func() (any, int)) packed {
	data := c.In[i].Const.Data
	if c.packs == nil || len(data) == 0 || c.own[i] {
		v, n := build()
		return packed{v, n}
	}
	key := packKey{unsafe.SliceData(data), len(data), kind}
	c.packs.mu.Lock()
	defer c.packs.mu.Unlock()
	if p, ok := c.packs.items[key]; ok {
		return p
	}
	v, n := build()
	if c.packs.items == nil {
		c.packs.items = map[packKey]packed{}
	}
	c.packs.items[key] = packed{v, n}
	c.packs.bytes += n
	return c.packs.items[key]
}

// Repack reports whether constant input i is to be packed in every call instead of once: a reverse pass that has to save
// memory would otherwise hold every weight a second time, in the order that the transposed product reads. A packed form
// that exists already is used.
func (c *NodeCtx) Repack(i int, kind string) bool {
	if !c.lean || c.packs == nil || len(c.In[i].Const.Data) == 0 {
		return false
	}
	c.packs.mu.Lock()
	defer c.packs.mu.Unlock()
	_, ok := c.packs.items[packKey{unsafe.SliceData(c.In[i].Const.Data), len(c.In[i].Const.Data), kind}]
	return !ok
}

// Used tells the owner of a file mapping, after a call that has read constant input i, that its pages may go until the
// next call.
func (c *NodeCtx) Used(i int) {
	if c.release != nil && c.lean {
		c.release(c.In[i].Const.Data)
	}
}
