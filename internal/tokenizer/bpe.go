package tokenizer

import "container/heap"

// wordEnd marks the last symbol of a word.
const wordEnd = "</w>"

type pair struct{ left, right int }

// merge says how early a pair joins (lower rank first) and into which id.
type merge struct{ rank, id int }

// byteSymbols maps a byte to the printable character that stands for it in the
// vocabulary (GPT-2's table): printable Latin-1 stands for itself and the other
// bytes take U+0100, U+0101, … in order.
var byteSymbols, symbolBytes = byteTable()

func byteTable() (symbols [256]string, back map[rune]byte) {
	back = make(map[rune]byte, 256)
	next := rune(0x100)
	for b := range 256 {
		r := rune(b)
		printable := b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE
		if !printable {
			r = next
			next++
		}
		symbols[b] = string(r)
		back[r] = byte(b)
	}
	return symbols, back
}

// symbol is one node of the doubly linked list a word is merged in.
type symbol struct{ id, prev, next int }

// candidate is a possible merge of the symbol at pos with its right neighbour.
type candidate struct{ merge, pos int }

// queue orders candidates by rank, then from left to right. Joining one
// occurrence at a time in this order is what tokenizers does; it matters only
// where a new pair ranks before a pair that is still waiting.
type queue struct {
	items []candidate
	table []merge
}

func (q *queue) Len() int      { return len(q.items) }
func (q *queue) Swap(i, j int) { q.items[i], q.items[j] = q.items[j], q.items[i] }
func (q *queue) Push(x any)    { q.items = append(q.items, x.(candidate)) }
func (q *queue) Pop() any {
	last := q.items[len(q.items)-1]
	q.items = q.items[:len(q.items)-1]
	return last
}

func (q *queue) Less(i, j int) bool {
	a, b := q.items[i], q.items[j]
	if ra, rb := q.table[a.merge].rank, q.table[b.merge].rank; ra != rb {
		return ra < rb
	}
	return a.pos < b.pos
}

// appendWord appends the ids of one word after all merges; O(n log n) in the
// length of the word, so that a hostile prompt costs no more than its size.
func (t *CLIP) appendWord(ids []int, word string) []int {
	if word == "" {
		return ids
	}
	syms := t.symbols(word)
	q := &queue{}
	for i := range len(syms) - 1 {
		t.offer(q, syms, i)
	}
	for q.Len() > 0 {
		c := heap.Pop(q).(candidate)
		m := q.table[c.merge]
		s := &syms[c.pos]
		// A candidate is stale once either of its sides has been merged away.
		if s.id < 0 || s.next < 0 || t.merges[pair{s.id, syms[s.next].id}] != m {
			continue
		}
		gone := s.next
		s.id, s.next = m.id, syms[gone].next
		syms[gone].id = -1
		if s.next >= 0 {
			syms[s.next].prev = c.pos
			t.offer(q, syms, c.pos)
		}
		if s.prev >= 0 {
			t.offer(q, syms, s.prev)
		}
	}
	for i := 0; i >= 0; i = syms[i].next {
		ids = append(ids, syms[i].id)
	}
	return ids
}

// symbols is the list of single bytes a word starts as.
func (t *CLIP) symbols(word string) []symbol {
	syms := make([]symbol, len(word))
	for i := range len(word) {
		syms[i] = symbol{t.inner[word[i]], i - 1, i + 1}
	}
	end := len(word) - 1
	syms[end].id, syms[end].next = t.last[word[end]], -1
	return syms
}

// offer queues the pair that begins at pos if there is a merge for it.
func (t *CLIP) offer(q *queue, syms []symbol, pos int) {
	m, ok := t.merges[pair{syms[pos].id, syms[syms[pos].next].id}]
	if !ok {
		return
	}
	q.table = append(q.table, m)
	heap.Push(q, candidate{len(q.table) - 1, pos})
}
