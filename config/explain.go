package config

import (
	"maps"
	"slices"
	"strings"
)

// explanation is what is said of a directive beyond its row.
type explanation struct {
	means     string // whole sentences
	builtin   string // the built-in value, as it could be written; "" where it is none
	otherwise string // what happens without the directive where builtin is ""
	example   string // a value other than the built-in one; of a section, all of it
}

// Directive explains one word of the language. Explain, the manual page and the
// reference page come from it.
type Directive struct {
	Name    string
	Where   []string // the sections and blocks that it may stand in
	Syntax  string   // what follows it
	Meaning string   // whole sentences
	Units   string   // of a number without one; "" where there are none
	Default string   // as it could be written, or in words
	Inherit bool     // may stand in default, too
	State   string   // whether it has an effect, and why not
	Example string   // a line as it could be written
}

// Effective is the State of a directive that does what it says.
const Effective = "has an effect"

// explanations are all of them, by name, or by place and name where a word has
// several meanings.
var explanations = collectExplanations()

func collectExplanations() map[string]explanation {
	all := map[string]explanation{}
	for _, m := range []map[string]explanation{
		interfaceExplanations, resolverExplanations, remoteExplanations, ikev2Explanations, kinkExplanations, trafficExplanations,
	} {
		maps.Copy(all, m)
	}
	return all
}

// explanationOf finds what is said of a word at a place.
func explanationOf(where place, name string) explanation {
	if where == inTop {
		return explanations["top/"+name]
	}
	for p := inTop; p <= inDefault; p <<= 1 {
		if where&p == 0 {
			continue
		}
		if x, ok := explanations[placeNames[p]+"/"+name]; ok {
			return x
		}
	}
	return explanations[name]
}

// topWords are the words of the top level in the order of an ordinary file.
var topWords = []string{
	"setval", "include", "interface", "resolver", "default", "remote", "selector", "policy", "ipsec", "sa", "addresspool",
}

// Directives explains the whole language: the words of the top level, and then
// the directives of each section.
func Directives() []Directive {
	var out []Directive
	for _, name := range topWords {
		x := explanationOf(inTop, name)
		syntax := "NAME { … }"
		switch name {
		case "setval", "interface", "resolver", "default":
			syntax = "{ … }"
		case "include":
			syntax = `"PATTERN"`
		}
		out = append(out, Directive{
			Name: name, Where: []string{placeNames[inTop]}, Syntax: syntax, Meaning: x.means, State: Effective, Example: x.example,
		})
	}
	for _, group := range directives {
		for i := range group {
			out = append(out, describe(&group[i]))
		}
	}
	return out
}

// describe joins a row with what is said of it.
func describe(d *directive) Directive {
	x := explanationOf(d.where, d.name)
	out := Directive{
		Name: d.name, Syntax: d.value.syntax, Meaning: x.means, Units: unitsOf(d.value), Default: x.builtin,
		Inherit: d.where&(inRemote|inKMP|inPolicy|inIPsec|inSA|inProvide|inEAP) != 0, State: stateOf(d),
		Example: d.name + " " + x.example + ";",
	}
	if out.Default == "" {
		out.Default = x.otherwise
	}
	for p := inTop; p <= inDefault; p <<= 1 {
		if d.where&p != 0 {
			out.Where = append(out.Where, placeNames[p])
		}
	}
	return out
}

// stateOf says whether a row does anything.
func stateOf(d *directive) string {
	switch {
	case d.idle != "":
		return "has no effect: " + d.idle
	case d.where&^inIKEv1 == 0 || d.name == "ikev1":
		return "has no effect: IKEv1 is not built"
	case d.where == inProvide:
		return "has no effect: " + notYet
	}
	return Effective
}

// unitsOf says what a bare number counts.
func unitsOf(v value) string {
	switch v.syntax {
	case timeSpan.syntax, span.syntax:
		return "seconds where no unit is written"
	case octets.syntax:
		return "octets where no unit is written; 1 KB is 1024 octets"
	}
	return ""
}

// Explain explains a word: a row for each of its meanings. Where there is no
// such word it returns nothing, and near is the closest one there is, or "".
func Explain(word string) (rows []Directive, near string) {
	var words []string
	for _, d := range Directives() {
		if d.Name == word {
			rows = append(rows, d)
		}
		if !slices.Contains(words, d.Name) {
			words = append(words, d.Name)
		}
	}
	if rows == nil {
		near = nearestSorted(strings.ToLower(word), words)
	}
	return rows, near
}
