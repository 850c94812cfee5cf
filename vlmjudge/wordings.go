package vlmjudge

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// shipped are winnow's wordings, read once, in the order of their names. A fault in them is one of the program, which the tests find.
var shipped = sync.OnceValue(func() (all []*Wording) {
	texts := ShippedWordings()
	for _, id := range slices.Sorted(maps.Keys(texts)) {
		w, err := parseWording(id+".txt", []byte(texts[id]))
		if err != nil {
			panic(err)
		}
		w.name(id)
		all = append(all, w)
	}
	return all
})

// shippedWording is the one of that name.
func shippedWording(id string) *Wording {
	for _, w := range shipped() {
		if w.chat.ID == id {
			return w
		}
	}
	panic("vlmjudge: no wording " + id)
}

// asks are the wordings that a judge uses.
type asks struct {
	pair, yes, marks template
	decisions        map[string]decision // by the question, where the server has a form of its own
	custom           string              // what tells them from the usual ones; "": they are
	noDecisions      bool                // the form of transformers serve cannot ask so
	onlyDecisions    bool                // nothing but it can
}

// choose settles the wordings: the usual ones, but for those that are given.
func choose(given []*Wording, reason bool) (asks, error) {
	for _, w := range given {
		reason = reason || w.Thinks()
	}
	kind := "direct"
	check := "check.yes.v1"
	if reason {
		kind, check = "reason", "check.reason.v1"
	}
	a := asks{
		pair: shippedWording("pair." + kind + ".v1").chat, yes: shippedWording(check).chat, marks: shippedWording("mark." + kind + ".v1").chat,
		decisions: map[string]decision{}, noDecisions: reason,
	}
	for _, id := range []string{"pair", "check", "mark"} {
		w := shippedWording(id + ".systemone.v1")
		a.decisions[w.question] = *w.decision
	}
	if reason {
		a.custom = "reason"
	}
	seen := map[string]bool{}
	for _, w := range given {
		form := "chat"
		if w.decision != nil {
			form = string(APISystemone)
		}
		if key := w.question + " " + form; seen[key] {
			return a, fmt.Errorf("vlmjudge: two wordings of the question %s; give one", w.question)
		} else {
			seen[key] = true
		}
		if reason && !w.Thinks() {
			return a, fmt.Errorf("vlmjudge: the judge shall give reasons, and the wording %s asks for the answer alone; add \"thinks: yes\" and <answer> to it", w.chat.ID)
		}
		a.take(w)
	}
	return a, a.conflict(seen)
}

// take puts a wording in the place of the usual one.
func (a *asks) take(w *Wording) {
	if w.decision != nil {
		a.decisions[w.question] = *w.decision
	} else {
		*map[string]*template{questionPair: &a.pair, questionYes: &a.yes, questionMarks: &a.marks}[w.question] = w.chat
	}
	a.custom += " " + w.Template().SHA256[:12]
}

// conflict finds out which forms can ask so: a question that is only worded for one must not be put in the usual words of another.
func (a *asks) conflict(seen map[string]bool) error {
	for _, q := range []string{questionPair, questionYes, questionMarks} {
		chat, own := seen[q+" chat"], seen[q+" "+string(APISystemone)]
		a.noDecisions = a.noDecisions || chat && !own
		a.onlyDecisions = a.onlyDecisions || own && !chat
	}
	if a.noDecisions && a.onlyDecisions {
		return fmt.Errorf("vlmjudge: some questions are worded for chat servers only and others for transformers serve only; word them for the same")
	}
	return nil
}

// fits refuses a form of the server for which the questions are not worded.
func (a *asks) fits(api API) error {
	switch {
	case api == APISystemone && a.noDecisions:
		return fmt.Errorf("vlmjudge: the form %s cannot ask the question of the template, or for reasons; write one with [state] and [instructions], or take the form %s", api, APIChat)
	case api != APISystemone && api != APIAuto && a.onlyDecisions:
		return fmt.Errorf("vlmjudge: the template is for the form %s, and the judge is to be asked in the form %s; write one with [system] and [user]", APISystemone, api)
	}
	return nil
}

// public names the wordings that are asked in a form: of pairs, of yes, of marks.
func (a *asks) public(api API) []Template {
	if api == APISystemone {
		var out []Template
		for _, q := range []string{questionPair, questionYes, questionMarks} {
			out = append(out, a.decisions[q].public())
		}
		return out
	}
	return []Template{a.pair.public(), a.yes.public(), a.marks.public()}
}
