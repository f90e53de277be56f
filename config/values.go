package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The values of directives, each with its reader. A reader returns false when
// it reported an error; the directive then counts as not given.
var (
	boolean    = value{"on | off", readBool}
	number     = value{"NUMBER", readNumber}
	octets     = value{"NUMBER [B | KB | MB | GB] | infinite", readOctets}
	timeSpan   = value{"NUMBER [sec | min | hours | days] | infinite", readTime}
	text       = value{`"TEXT"`, readText}
	pathName   = value{`"PATH"`, readText}
	keyFile    = value{`[hex] "PATH"`, readKeyFile}
	reference  = value{"NAME", readReference}
	portNumber = value{"PORT", readPort}
)

// name is a text with the item that it comes from: a reference to a section.
type name struct {
	item Item // Text as it is written, before substitution
	text string
}

// choice is one word of a list of enumerated words.
type choice struct {
	item  Item
	value uint8
}

// wants reports that a directive's value has not the form it must have.
func (r *resolver) wants(e *entry, it Item, format string, args ...any) {
	r.errorf("bad-value", it, "write: "+e.dir.name+" "+e.dir.value.syntax+";", format, args...)
}

// nameItem stands for the directive itself where no argument is to blame.
func (e *entry) nameItem() Item { return Item{Kind: ItemWord, Pos: e.pos, Text: e.dir.name} }

// text substitutes in an item. It reports what goes wrong.
func (r *resolver) text(it Item) (string, bool) {
	s, err := r.symbols.expand(it.Text)
	if err != nil {
		r.errorf("bad-substitution", it, r.substitutionHint(err), "%v", err)
		return "", false
	}
	return s, true
}

func (r *resolver) substitutionHint(err error) string {
	var undefined *undefinedError
	if !errors.As(err, &undefined) || undefined.env {
		return ""
	}
	words := make([]string, 0, len(r.symbols.symbols))
	for w := range r.symbols.symbols {
		words = append(words, w)
	}
	if near := nearestSorted(undefined.name, words); near != "" {
		return "did you mean ${" + near + "}?"
	}
	return fmt.Sprintf("setval { %s \"…\"; };", clip(undefined.name))
}

// single returns the one argument of a directive, substituted.
func (r *resolver) single(e *entry) (Item, string, bool) {
	if e.body != nil {
		r.wants(e, Item{Kind: ItemWord, Pos: e.body.Pos, Text: "{"}, "%s takes one value, not a block", e.dir.name)
		return Item{}, "", false
	}
	return r.singleOf(e, e.args)
}

func (r *resolver) singleOf(e *entry, items []Item) (Item, string, bool) {
	if len(items) == 0 {
		r.wants(e, e.nameItem(), "%s has no value", e.dir.name)
		return Item{}, "", false
	}
	if len(items) > 1 {
		r.wants(e, items[1], "%s takes one value; %s is one too many", e.dir.name, clip(items[1].Source()))
		return Item{}, "", false
	}
	if !items[0].isText() {
		r.wants(e, items[0], "%s is no value", items[0].Source())
		return Item{}, "", false
	}
	s, ok := r.text(items[0])
	return items[0], s, ok
}

// elements returns the elements of a list: those in braces, or the one without.
func (r *resolver) elements(e *entry) ([][]Item, bool) {
	if e.body == nil {
		if len(e.args) == 0 {
			r.wants(e, e.nameItem(), "%s has no value", e.dir.name)
			return nil, false
		}
		return [][]Item{e.args}, true
	}
	if len(e.args) > 0 {
		r.wants(e, e.args[0], "%s stands in front of the list of %s", clip(e.args[0].Source()), e.dir.name)
		return nil, false
	}
	list := make([][]Item, 0, len(e.body.Statements))
	for _, st := range e.body.Statements {
		if b := st.Block(); b != nil {
			r.wants(e, Item{Kind: ItemWord, Pos: b.Pos, Text: "{"}, "a list of %s holds no block", e.dir.name)
			return nil, false
		}
		list = append(list, st.Items)
	}
	return list, true
}

// eachElement reads a list with a reader for one element. One bad element
// spoils the list, but all of them are read and reported.
func eachElement[T any](r *resolver, e *entry, read func([]Item) (T, bool)) (any, bool) {
	list, ok := r.elements(e)
	if !ok {
		return nil, false
	}
	out := make([]T, 0, len(list))
	for _, items := range list {
		v, good := read(items)
		if good {
			out = append(out, v)
		}
		ok = ok && good
	}
	return out, ok
}

// keyPath is where a key is, and how it is written there.
type keyPath struct {
	path string
	hex  bool // hexadecimal digits; otherwise the octets of the file are the key
}

func readKeyFile(r *resolver, e *entry) (any, bool) {
	if len(e.args) == 2 && e.body == nil && e.args[0].Kind == ItemWord && e.args[0].Text == "hex" {
		_, s, ok := r.singleOf(e, e.args[1:])
		return keyPath{s, true}, ok && r.notEmpty(e, e.args[1], s)
	}
	it, s, ok := r.single(e)
	return keyPath{path: s}, ok && r.notEmpty(e, it, s)
}

// notEmpty reports a value of nothing.
func (r *resolver) notEmpty(e *entry, it Item, s string) bool {
	if s == "" {
		r.wants(e, it, "%s is empty", e.dir.name)
	}
	return s != ""
}

func readText(r *resolver, e *entry) (any, bool) {
	it, s, ok := r.single(e)
	if ok && s == "" {
		r.wants(e, it, "%s is empty", e.dir.name)
		return nil, false
	}
	return s, ok
}

func readReference(r *resolver, e *entry) (any, bool) {
	it, s, ok := r.single(e)
	return name{it, s}, ok
}

var referenceList = value{"NAME | { NAME; … }", func(r *resolver, e *entry) (any, bool) {
	return eachElement(r, e, func(items []Item) (name, bool) {
		it, s, ok := r.singleOf(e, items)
		return name{it, s}, ok
	})
}}

func readBool(r *resolver, e *entry) (any, bool) {
	c, ok := r.choose(e, boolWords)
	return c.value == 1, ok
}

// oneOf is the value of a directive that takes one of some words.
func oneOf(words []word) value {
	return value{strings.Join(texts(words), " | "), func(r *resolver, e *entry) (any, bool) {
		c, ok := r.choose(e, words)
		return c.value, ok
	}}
}

// wordList is the value of a directive that takes some of some words.
func wordList(words []word) value {
	return value{"{ " + strings.Join(texts(words), "; ") + "; }", func(r *resolver, e *entry) (any, bool) {
		return eachElement(r, e, func(items []Item) (choice, bool) {
			it, s, ok := r.singleOf(e, items)
			if !ok {
				return choice{}, false
			}
			return r.match(e, it, s, words)
		})
	}}
}

func texts(words []word) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w.text
	}
	return out
}

func (r *resolver) choose(e *entry, words []word) (choice, bool) {
	it, s, ok := r.single(e)
	if !ok {
		return choice{}, false
	}
	return r.match(e, it, s, words)
}

// match finds a word among those allowed.
func (r *resolver) match(e *entry, it Item, s string, words []word) (choice, bool) {
	for _, w := range words {
		if w.text == s {
			return choice{it, w.value}, true
		}
	}
	hint := "write: " + e.dir.name + " " + e.dir.value.syntax + ";"
	if near := nearest(strings.ToLower(s), texts(words)); near != "" {
		hint = "did you mean " + near + "?"
	}
	r.errorf("bad-value", it, hint, "%s cannot be %s", e.dir.name, clip(strconv.Quote(s)))
	return choice{}, false
}

// block is the value of a directive that holds directives.
func block(kind place) value {
	return value{"{ … }", func(r *resolver, e *entry) (any, bool) {
		if e.body == nil || len(e.args) > 0 {
			r.wants(e, e.nameItem(), "%s takes a block", e.dir.name)
			return nil, false
		}
		return r.read(kind, e.dir.name, e.pos, e.body), true
	}}
}

var scripts = value{"{ EVENT \"PATH\"; … }", readScripts}

func readScripts(r *resolver, e *entry) (any, bool) {
	if e.body == nil {
		r.wants(e, e.nameItem(), "script takes a block of events and paths")
		return nil, false
	}
	list, ok := r.elements(e)
	out := map[Event]string{}
	for _, items := range list {
		if len(items) != 2 || !items[0].isText() || !items[1].isText() {
			r.wants(e, items[0], "script takes an event and a path")
			ok = false
			continue
		}
		c, okEvent := r.match(e, items[0], items[0].Text, eventWords)
		p, okPath := r.text(items[1])
		ok = ok && okEvent && okPath
		out[Event(c.value)] = p
	}
	return out, ok
}

var publicKey = value{`x509pem | pkcs12 | ascii "PUBLIC" "PRIVATE"`, readPublicKey}

func readPublicKey(r *resolver, e *entry) (any, bool) {
	least := 3 // type, public and private
	if e.dir.name == "peers_public_key" {
		least = 2
	}
	if e.body != nil || len(e.args) < least || len(e.args) > 3 {
		r.wants(e, e.nameItem(), "%s takes a type and its files", e.dir.name)
		return nil, false
	}
	parts := [3]string{}
	for i, it := range e.args {
		s, ok := r.text(it)
		if !ok {
			return nil, false
		}
		parts[i] = s
	}
	switch parts[0] {
	case "x509pem", "pkcs12", "ascii":
	default:
		r.wants(e, e.args[0], "%s is not a type of key", clip(strconv.Quote(parts[0])))
		return nil, false
	}
	k := &PublicKey{Pos: e.pos, Format: parts[0], Public: parts[1]}
	if least == 3 {
		k.Private = parts[2]
	}
	return k, true
}
