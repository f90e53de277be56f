package config

import (
	"fmt"
	"strconv"
	"strings"
)

// resolver turns statements into the model.
type resolver struct {
	opts    Options
	report  *reporter
	symbols *expander
	config  *Config
	tables  map[string]map[string]uint64 // /etc/protocols and /etc/services

	// The sections as they were read, in the order of the text.
	iface, dns *section
	defaults   map[place]*section // of default, by kind
	fallback   *section           // the default section itself
	remotes    []*section
	selectors  []*section
	policies   []*section
	ipsecs     []*section
	sas        []*section

	proposals map[proposalKey]*ikeProposals // remotes that share their lists share the result
	used      map[any]bool                  // sections that something refers to
	peerless  map[*Remote]bool              // remotes whose peers_ipaddr was given and not understood
	depth     int                           // sections inside sections

	keys        map[*entry][]*staticKey // of static SAs, by the list that they stand in
	keysOf      map[*SA]saKeys
	keysChecked map[*SA]bool
}

func newResolver(g *gatherer) *resolver {
	r := &resolver{
		opts: g.opts, report: g.report, symbols: &g.symbols,
		config:    &Config{},
		tables:    map[string]map[string]uint64{},
		defaults:  map[place]*section{},
		proposals: map[proposalKey]*ikeProposals{},
		used:      map[any]bool{},
		peerless:  map[*Remote]bool{},

		keys: map[*entry][]*staticKey{}, keysOf: map[*SA]saKeys{}, keysChecked: map[*SA]bool{},
	}
	r.config.index = index{
		remotes: map[string]*Remote{}, selectors: map[string]*Selector{}, policies: map[string]*Policy{},
		ipsecs: map[string]*IPsec{}, sas: map[string]*SA{}, pools: map[string]*AddressPool{},
	}
	return r
}

// find reports a finding about an item.
func (r *resolver) find(severity Severity, code string, it Item, hint, text string) {
	r.report.add(Finding{
		Code: code, Severity: severity, Pos: it.Pos, Offending: it.Source(), Hint: hint, Text: text,
	})
}

func (r *resolver) errorf(code string, it Item, hint, format string, args ...any) {
	r.find(Error, code, it, hint, fmt.Sprintf(format, args...))
}

func (r *resolver) warnf(code string, it Item, hint, format string, args ...any) {
	r.find(Warning, code, it, hint, fmt.Sprintf(format, args...))
}

func (r *resolver) advise(code string, it Item, hint, format string, args ...any) {
	r.find(Advice, code, it, hint, fmt.Sprintf(format, args...))
}

// at is an item for a finding about a place that has a position alone.
func at(pos Pos, text string) Item { return Item{Kind: ItemWord, Pos: pos, Text: text} }

// collect reads all sections. default comes first because a section above it
// inherits from it all the same, and its findings belong to it alone. Each
// statement is let go when it was read: there may be many.
func (r *resolver) collect(statements []*Statement) {
	for i, st := range statements {
		r.section(st)
		statements[i] = nil
	}
}

// section reads one section of the top level.
func (r *resolver) section(st *Statement) {
	if r.depth++; r.depth > maxDepth {
		r.depth--
		return
	}
	defer func() { r.depth-- }()
	kind := sections[st.Name()]
	if kind == 0 {
		r.unknownSection(st)
		return
	}
	body := st.Block()
	if body == nil {
		r.errorf("syntax", st.Items[0], "write: "+st.Name()+" … { … };", "%s has no block", st.Name())
		return
	}
	switch kind {
	case inInterface, inResolver, inDefault:
		r.unnamed(kind, st, body)
	default:
		r.named(kind, st, body)
	}
}

func (r *resolver) unknownSection(st *Statement) {
	words := keys(sections)
	words = append(words, "include", "setval")
	name := st.Name()
	hint := "known are: " + strings.Join(words, " ")
	if near := nearest(name, words); near != "" {
		hint = "did you mean " + near + "?"
	} else if places := placesOf(name); places != "" {
		hint = name + " belongs in " + places + "; is there a }; too many above?"
	}
	r.errorf("unknown-section", st.Items[0], hint, "%s is not a section", clip(name))
}

// unnamed reads a section of which there is one.
func (r *resolver) unnamed(kind place, st *Statement, body *Block) {
	if args := st.Args(); len(args) > 0 {
		r.errorf("syntax", args[0], "write: "+st.Name()+" { … };", "%s has no name", st.Name())
	}
	slot := map[place]**section{inInterface: &r.iface, inResolver: &r.dns, inDefault: &r.fallback}[kind]
	if *slot != nil {
		r.errorf("duplicate-section", st.Items[0], "there is one "+st.Name()+" section; put all into it",
			"there is %s section already at %s", article(st.Name()), (*slot).pos)
		return
	}
	if kind == inDefault {
		*slot = &section{kind: kind, pos: st.Pos()}
		r.readDefault(body)
		return
	}
	*slot = r.read(kind, "", st.Pos(), body)
}

func article(word string) string {
	switch word[0] {
	case 'a', 'e', 'i', 'o', 'u':
		return "an " + word
	}
	return "a " + word
}

// readDefault reads the sections inside default.
func (r *resolver) readDefault(body *Block) {
	for _, st := range body.Statements {
		kind := sections[st.Name()]
		switch kind {
		case inRemote, inPolicy, inIPsec, inSA:
		default:
			hint := "default holds remote, policy, ipsec and sa"
			if near := nearest(st.Name(), []string{"remote", "policy", "ipsec", "sa"}); near != "" {
				hint = "did you mean " + near + "?"
			}
			r.errorf("unknown-section", st.Items[0], hint, "%s is not a section of default", clip(st.Name()))
			continue
		}
		if st.Block() == nil || len(st.Args()) > 0 {
			r.errorf("syntax", st.Items[0], "write: "+st.Name()+" { … };", "%s in default takes a block and no name", st.Name())
			continue
		}
		if old := r.defaults[kind]; old != nil {
			r.errorf("duplicate-section", st.Items[0], "remove one of them", "default has %s section already at %s",
				article(st.Name()), old.pos)
			continue
		}
		r.defaults[kind] = r.read(kind, "", st.Pos(), st.Block())
	}
}

// named reads a section that has a name.
func (r *resolver) named(kind place, st *Statement, body *Block) {
	args := st.Args()
	if len(args) != 1 || !args[0].isText() {
		it := st.Items[0]
		if len(args) > 1 {
			it = args[1]
		}
		r.errorf("syntax", it, "write: "+st.Name()+" NAME { … };", "%s takes one name", st.Name())
		if len(args) == 0 || !args[0].isText() {
			return
		}
	}
	index, ok := r.text(args[0])
	if !ok {
		return
	}
	if index == "" || len(index) > 255 {
		r.errorf("bad-name", args[0], "", "a name has 1 to 255 octets")
		return
	}
	if old, ok := r.define(kind, st.Name(), index, st.Pos()); !ok {
		r.errorf("duplicate-section", args[0], "give one of them another name",
			"there is %s %s already at %s", article(st.Name()), clip(strconv.Quote(index)), old)
		return
	}
	if st.Name() == "addresspool" {
		r.readPool(r.config.index.pools[index], body)
		return
	}
	s := r.read(kind, index, st.Pos(), body)
	switch kind {
	case inRemote:
		r.remotes = append(r.remotes, s)
	case inSelector:
		r.selectors = append(r.selectors, s)
	case inPolicy:
		r.policies = append(r.policies, s)
	case inIPsec:
		r.ipsecs = append(r.ipsecs, s)
	case inSA:
		r.sas = append(r.sas, s)
	}
}

// define makes the empty entity of a section, so that others can refer to it.
func (r *resolver) define(kind place, word, name string, pos Pos) (old Pos, ok bool) {
	c := r.config
	switch kind {
	case inRemote:
		return put(&c.Remotes, c.index.remotes, name, &Remote{Pos: pos, Name: name}, func(x *Remote) Pos { return x.Pos })
	case inSelector:
		return put(&c.Selectors, c.index.selectors, name, &Selector{Pos: pos, Name: name}, func(x *Selector) Pos { return x.Pos })
	case inPolicy:
		return put(&c.Policies, c.index.policies, name, &Policy{Pos: pos, Name: name}, func(x *Policy) Pos { return x.Pos })
	case inIPsec:
		return put(&c.IPsecs, c.index.ipsecs, name, &IPsec{Pos: pos, Name: name}, func(x *IPsec) Pos { return x.Pos })
	case inSA:
		return put(&c.SAs, c.index.sas, name, &SA{Pos: pos, Name: name}, func(x *SA) Pos { return x.Pos })
	}
	return put(&c.AddressPools, c.index.pools, name, &AddressPool{Pos: pos, Name: name}, func(x *AddressPool) Pos { return x.Pos })
}

// put adds an entity under its name unless the name is taken.
func put[T any](list *[]*T, byName map[string]*T, name string, x *T, pos func(*T) Pos) (Pos, bool) {
	if old := byName[name]; old != nil {
		return pos(old), false
	}
	byName[name] = x
	*list = append(*list, x)
	return Pos{}, true
}

// build fills the entities, those that are referred to before those that refer.
func (r *resolver) build() {
	r.buildInterface()
	r.buildResolver()
	for _, s := range r.sas {
		r.buildSA(r.config.index.sas[s.name], view{s, r.defaults[inSA]})
	}
	for _, s := range r.ipsecs {
		r.buildIPsec(r.config.index.ipsecs[s.name], view{s, r.defaults[inIPsec]})
	}
	for _, s := range r.remotes {
		r.buildRemote(r.config.index.remotes[s.name], view{s, r.defaults[inRemote]})
	}
	r.buildDefaultRemote()
	for _, s := range r.policies {
		r.buildPolicy(r.config.index.policies[s.name], view{s, r.defaults[inPolicy]})
	}
	for _, s := range r.selectors {
		r.buildSelector(r.config.index.selectors[s.name], view{own: s})
	}
	r.linkReverses()
	r.checkSamePeers()
	r.checkSameIDs()
	r.checkPools()
	r.checkNames()
	r.checkInterfaces()
	r.checkInterface()
	if !r.report.list.HasErrors() { // these would only echo errors elsewhere
		r.checkReverses()
		r.checkSelectorIndexes()
		r.checkShadowed()
		r.checkStaticKeys()
		r.checkNothing()
		r.checkUnused()
	}
}

// refer finds the section that a directive names and reports a dangling name.
func refer[T any](r *resolver, byName map[string]*T, kind string, n name) *T {
	x := byName[n.text]
	if x != nil {
		r.used[x] = true
		return x
	}
	hint := fmt.Sprintf("there is no %s section at all", kind)
	if len(byName) > 0 {
		hint = ""
	}
	if len(byName) <= maxNearest {
		if near := nearest(n.text, keys(byName)); near != "" {
			hint = "did you mean " + near + "?"
		}
	}
	r.errorf("undefined-index", n.item, hint, "there is no %s %s", kind, clip(strconv.Quote(n.text)))
	return nil
}

// maxNearest bounds the names that a typing error is compared with.
const maxNearest = 1000
