package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"
)

// Account is what a judge said about a picture, or about two of which it prefers one, with its reasons. All text is escaped: what a
// judge writes is data.
type Account struct {
	Caption  string // the prompt
	Summary  string
	Pictures []Picture
	Asked    []Asked
}

// Asked is one question and the answers to it.
type Asked struct {
	Title   string // such as the order of the pictures
	Value   string // what the answers come to
	Chains  []Chain
	Silence string // why there are no reasons, where there are none
}

// Chain is one written answer.
type Chain struct {
	Verdict  string
	Place    int    // of the picture that it prefers among Account.Pictures, from 1; 0: neither, or there is one only
	Thoughts string // why; "": the judge did not say
	Reply    string // as it was written
}

// Reasoned says that an answer has reasons.
func (a Asked) Reasoned() bool {
	for _, c := range a.Chains {
		if c.Thoughts != "" {
			return true
		}
	}
	return false
}

type (
	accountView struct {
		Account
		Looks []lookView
	}
	lookView struct {
		pictureView
		Place int
	}
)

//go:embed account.html
var accountHTML string

// withAccounts gives a page the forms "account" and "account.css".
func withAccounts(t *template.Template) *template.Template {
	template.Must(t.New("accounts").Parse(accountHTML))
	return t
}

func (a Account) view() (accountView, error) {
	v := accountView{Account: a}
	v.Asked = nil
	for _, q := range a.Asked {
		chains := make([]Chain, len(q.Chains))
		for i, c := range q.Chains {
			if strings.TrimSpace(c.Reply) == c.Thoughts || strings.TrimSpace(c.Reply) == "" {
				c.Reply = "" // nothing more to show
			}
			chains[i] = c
		}
		q.Chains = chains
		v.Asked = append(v.Asked, q)
	}
	for i, p := range a.Pictures {
		pv, err := p.view()
		if err != nil {
			return v, fmt.Errorf("picture %q: %w", p.Label, err)
		}
		look := lookView{pictureView: pv}
		if len(a.Pictures) > 1 {
			look.Place = i + 1
		}
		v.Looks = append(v.Looks, look)
	}
	return v, nil
}
