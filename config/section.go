package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// section is one section or block with its directives read into typed values.
type section struct {
	kind    place
	name    string
	pos     Pos
	entries []*entry        // few enough to look through
	failed  map[string]bool // given, and not understood
}

// entry is one directive of a section.
type entry struct {
	dir  *directive
	args []Item
	body *Block // nil without one
	pos  Pos
	val  any // as dir.value.read gives it
}

// get returns a directive's entry, or nil. A nil section has none.
func (s *section) get(name string) *entry {
	if s == nil {
		return nil
	}
	for _, e := range s.entries {
		if e.dir.name == name {
			return e
		}
	}
	return nil
}

// view is a section with what it inherits.
type view struct {
	own, inherited *section
}

// get returns the section's own entry, else the inherited one, else nil.
func (v view) get(name string) *entry {
	if e := v.own.get(name); e != nil {
		return e
	}
	return v.inherited.get(name)
}

// lacks reports whether a directive is given nowhere. One that was given and
// not understood is not lacking: what is wrong with it was reported.
func (v view) lacks(name string) bool {
	failed := v.own != nil && v.own.failed[name] || v.inherited != nil && v.inherited.failed[name]
	return v.get(name) == nil && !failed
}

// pos is the position of the section, or of what it inherits.
func (v view) pos() Pos {
	if v.own != nil {
		return v.own.pos
	}
	if v.inherited != nil {
		return v.inherited.pos
	}
	return Pos{}
}

// sub is the view of a block inside the section, inherited field by field.
func (v view) sub(name string) view {
	return view{own: v.own.block(name), inherited: v.inherited.block(name)}
}

func (s *section) block(name string) *section {
	if e := s.get(name); e != nil {
		b, _ := e.val.(*section)
		return b
	}
	return nil
}

// get returns the value of a directive, or the built-in one.
func get[T any](v view, name string, builtin T) T {
	if e := v.get(name); e != nil {
		if val, ok := e.val.(T); ok {
			return val
		}
	}
	return builtin
}

// posOf is the position of a directive, or of the section that lacks it.
func (v view) posOf(name string) Pos {
	if e := v.get(name); e != nil {
		return e.pos
	}
	return v.pos()
}

// writtenAt is the position of a directive; not valid where nobody wrote it.
func (v view) writtenAt(name string) Pos {
	if e := v.get(name); e != nil {
		return e.pos
	}
	return Pos{}
}

// read reads the statements of a block into a section.
func (r *resolver) read(kind place, name string, pos Pos, body *Block) *section {
	s := &section{kind: kind, name: name, pos: pos, entries: make([]*entry, 0, len(body.Statements))}
	for _, st := range r.splitAll(kind, body.Statements) {
		r.directive(s, st)
	}
	return s
}

// directive reads one statement of a section.
func (r *resolver) directive(s *section, st *Statement) {
	d := lookup(s.kind, st.Name())
	if d == nil {
		r.unknown(s, st)
		return
	}
	e := &entry{dir: d, args: st.Args(), body: st.Block(), pos: st.Pos()}
	old := s.get(d.name)
	if old != nil {
		if d.once {
			r.errorf("duplicate-directive", st.Items[0], "remove one of them",
				"%s is given twice; the first is at %s", d.name, old.pos)
			return
		}
		r.warnf("duplicate-directive", st.Items[0], "remove one of them",
			"%s is given twice; this one counts, not that at %s", d.name, old.pos)
	}
	val, ok := d.value.read(r, e)
	if !ok {
		if s.failed == nil {
			s.failed = map[string]bool{}
		}
		s.failed[d.name] = true
		return
	}
	e.val = val
	if old != nil {
		*old = *e
	} else {
		s.entries = append(s.entries, e)
	}
	if d.idle != "" && s.kind != inIKEv1 && !d.asksNothing(val) {
		r.warnf("no-effect", st.Items[0], "", "%s has no effect: %s", d.name, d.idle)
	}
}

// asksNothing reports whether a value is what happens without the directive.
func (d *directive) asksNothing(val any) bool {
	switch v := val.(type) {
	case bool:
		return v == (d.quiet == true)
	case uint8:
		return d.quiet == v
	case uint64:
		return v == 0
	case uint32:
		return v == 0
	case int:
		return v == 0 && d.quiet == nil || d.quiet == v
	case time.Duration:
		return v == 0 && d.quiet == nil || d.quiet == v
	}
	return false
}

// unknown reports a word that is no directive of the section. A section's word
// in here says that a brace is missing above; the section is read all the same.
func (r *resolver) unknown(s *section, st *Statement) {
	name := st.Name()
	where := placeNames[s.kind]
	if st.Block() != nil && sections[name] != 0 && len(st.Args()) > 0 {
		r.errorf("unknown-directive", st.Items[0], fmt.Sprintf("is the }; of the block at %s missing?", s.pos),
			"a %s section cannot stand inside %s", name, where)
		r.section(st)
		return
	}
	hint := ""
	if other := placesOf(name); other != "" {
		hint = name + " belongs in " + other
	}
	if near := nearest(name, wordsOf(s.kind)); near != "" && (hint == "" || editDistance(name, near) == 1) {
		hint = "did you mean " + near + "?"
	}
	if name == "include" || name == "setval" {
		hint = name + " stands outside all sections"
	}
	r.errorf("unknown-directive", st.Items[0], hint, "%s is not a directive of %s", clip(name), where)
}

// placesOf lists where a directive may stand.
func placesOf(name string) string {
	var places []string
	for p := inTop; p <= inDefault; p <<= 1 {
		if lookup(p, name) != nil {
			places = append(places, placeNames[p])
		}
	}
	if sections[name] != 0 {
		places = append(places, placeNames[inTop])
	}
	return strings.Join(places, ", ")
}

// splitAll undoes missing semicolons: a directive at the start of a line, in
// the middle of a statement, begins a statement of its own.
func (r *resolver) splitAll(kind place, list []*Statement) []*Statement {
	var out []*Statement
	for i, st := range list {
		head, tail := r.split(kind, st)
		if tail == nil {
			if out != nil {
				out = append(out, st)
			}
			continue
		}
		if out == nil {
			out = slices.Clone(list[:i])
		}
		for tail != nil {
			out = append(out, head)
			head, tail = r.split(kind, tail)
		}
		out = append(out, head)
	}
	if out == nil {
		return list
	}
	return out
}

// split cuts a statement before the first item that looks like the next one.
func (r *resolver) split(kind place, st *Statement) (head, tail *Statement) {
	for i := 1; i < len(st.Items); i++ {
		it, before := st.Items[i], st.Items[i-1]
		if it.Kind != ItemWord || it.Pos.Line == before.Pos.Line || lookup(kind, it.Text) == nil {
			continue
		}
		if i == 1 && len(st.Items) == 2 {
			continue // a name on a line of its own, not a directive
		}
		r.report.add(Finding{Code: "missing-semicolon", Severity: Error, Pos: before.end(),
			Text: fmt.Sprintf("; is missing after %s", clip(before.Source())),
			Hint: fmt.Sprintf("the next line begins with the directive %s", it.Text)})
		head := *st
		head.Items = st.Items[:i]
		return &head, &Statement{Items: st.Items[i:], End: st.End}
	}
	return st, nil
}
