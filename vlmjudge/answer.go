package vlmjudge

// Protocol is how a number comes from a judge.
type Protocol string

// The protocols. Numbers of different protocols must not be compared.
const (
	ProtocolLogprobs  Protocol = "logprobs"  // probabilities of the labels at the first token
	ProtocolSystemone Protocol = "systemone" // probabilities that transformers serve gives for its options
	ProtocolReasoned  Protocol = "reasoned"  // probabilities of the labels where a written answer has one, mean of several
	ProtocolVotes     Protocol = "votes"     // sampled answers are counted
	ProtocolGreedy    Protocol = "greedy"    // one most probable answer is counted
)

// soft tells probabilities from counts.
func (p Protocol) soft() bool {
	return p == ProtocolLogprobs || p == ProtocolSystemone || p == ProtocolReasoned
}

// written says that the judge writes whole answers.
func (p Protocol) written() bool {
	return p == ProtocolReasoned || p == ProtocolVotes || p == ProtocolGreedy
}

// jeffreys is the prior of counted answers.
const jeffreys = .5

// Answer is a judge's answer to one question with labels: Yes and No, the numbers of two pictures, or marks.
type Answer struct {
	P         float64  `json:"p"`    // of the first label, within [0, 1], by Formula; ½ if it abstained
	Raw       float64  `json:"raw"`  // of the first label among everything that the judge might have said; of a mark P times Mass
	Mass      float64  `json:"mass"` // of all labels: their probability, or their share of the answers
	Abstained bool     `json:"abstained,omitempty"`
	Recalled  bool     `json:"recalled,omitempty"`  // from a Store, at no cost
	Truncated bool     `json:"truncated,omitempty"` // a label was too improbable to be listed; P uses an upper bound of it
	Mark      *Mark    `json:"mark,omitempty"`      // of a question for a mark; P is then its place between the least and the greatest one
	Protocol  Protocol `json:"protocol"`
	Formula   string   `json:"formula"`
	Replies   []string `json:"replies"`            // as written; untrusted
	Given     []int    `json:"given,omitempty"`    // number of the label in each written answer, from 0; −1: none that can be read
	Thoughts  []string `json:"thoughts,omitempty"` // behind each, where the server keeps them apart; untrusted
	Tokens    Tokens   `json:"tokens"`
}

// Tokens is what an answer has cost, as far as the server counts.
type Tokens struct {
	Requests   int `json:"requests"`
	Prompt     int `json:"prompt"`
	Completion int `json:"completion"`
}

func (t *Tokens) add(r *chatReply) {
	t.Requests++
	t.Prompt += r.Usage.Prompt
	t.Completion += r.Usage.Completion
}

func (t Tokens) plus(u Tokens) Tokens {
	return Tokens{t.Requests + u.Requests, t.Prompt + u.Prompt, t.Completion + u.Completion}
}
