package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// buildRemote fills a remote section.
func (r *resolver) buildRemote(remote *Remote, v view) {
	if e := v.get("selector_index"); e != nil {
		n := e.val.(name)
		remote.SelectorIndex = n.text
		remote.Selector = refer(r, r.config.index.selectors, "selector", n)
	}
	var reasons []string
	for _, c := range r.acceptable(v) {
		kmp := KMP(c.value)
		reason := r.buildKMP(remote, v, kmp, c.item)
		if reason == "" {
			remote.AcceptableKMP = append(remote.AcceptableKMP, kmp)
			continue
		}
		reasons = append(reasons, reason)
	}
	if len(remote.AcceptableKMP) > 0 {
		return
	}
	remote.Disabled = true
	remote.Reason = strings.Join(reasons, "; ")
	if len(reasons) == 0 {
		remote.Reason = "it has no block of a key management protocol"
		r.errorf("no-protocol", at(remote.Pos, "remote"), "add a block: ikev2 { … };",
			"remote %s has no block of a key management protocol", clip(remote.Name))
		return
	}
	r.warnf("remote-disabled", at(remote.Pos, "remote"), "", "remote %s is disabled: %s", clip(remote.Name), remote.Reason)
}

// acceptable returns the protocols that a remote accepts. Where the remote says
// nothing they are those of its blocks: a list in default is narrowed to them,
// so that nobody has to repeat it for every remote.
func (r *resolver) acceptable(v view) []choice {
	own := v.own.get("acceptable_kmp")
	inherited := v.inherited.get("acceptable_kmp")
	list := get[[]choice](v, "acceptable_kmp", nil)
	if own != nil && len(list) > 0 {
		r.checkUnlisted(v, list)
		return list
	}
	blocks := ownBlocks(v.own)
	if len(blocks) == 0 {
		blocks = ownBlocks(v.inherited)
	}
	if inherited == nil {
		return blocks
	}
	var out []choice
	for _, c := range list {
		for _, b := range blocks {
			if b.value == c.value {
				out = append(out, c)
			}
		}
	}
	return out
}

// ownBlocks are the protocols that a section has blocks for; IKEv2 comes first
// because it is what should be spoken.
func ownBlocks(s *section) []choice {
	var out []choice
	for _, kmp := range []KMP{KMPIKEv2, KMPIKEv1, KMPKINK} {
		if e := s.get(kmp.String()); e != nil {
			out = append(out, choice{e.nameItem(), uint8(kmp)})
		}
	}
	return out
}

// checkUnlisted warns of blocks that acceptable_kmp leaves out.
func (r *resolver) checkUnlisted(v view, list []choice) {
	for _, b := range ownBlocks(v.own) {
		listed := false
		for _, c := range list {
			listed = listed || c.value == b.value
		}
		if !listed {
			r.warnf("no-effect", b.item, "add it to acceptable_kmp, or remove the block",
				"the block has no effect: acceptable_kmp does not name %s", b.item.Text)
		}
	}
}

// buildKMP fills the settings for one protocol. It returns why the remote
// cannot use the protocol, or "".
func (r *resolver) buildKMP(remote *Remote, v view, kmp KMP, it Item) string {
	sub := v.sub(kmp.String())
	if sub.own == nil && sub.inherited == nil {
		r.errorf("no-protocol-block", at(remote.Pos, "remote"), fmt.Sprintf("add %s { … };, or take %s out of acceptable_kmp", kmp, kmp),
			"remote %s accepts %s and has no %s block", clip(remote.Name), kmp, kmp)
		return "it has no " + kmp.String() + " block"
	}
	switch kmp {
	case KMPIKEv1:
		remote.IKEv1 = r.ikev1(sub)
		r.warnf("not-built", it, "use ikev2", "IKEv1 is not built; remotes do without it")
		return "IKEv1 is not built"
	case KMPKINK:
		remote.KINK = r.kink(remote, sub)
		return ""
	default:
		var reason string
		remote.IKEv2, reason = r.ikev2(remote, sub)
		return reason
	}
}

// common reads what all protocols have. Built-in values are those of IKEv2.
func (r *resolver) common(v view, kmp KMP) Common {
	c := Common{
		Pos:               v.pos(),
		LogMode:           LogMode(get(v, "logmode", uint8(LogNormal))),
		LogFile:           get(v, "logfile", ""),
		LogPos:            v.writtenAt("logfile"),
		Passive:           get(v, "passive", false),
		UseCoA:            get(v, "use_coa", false),
		PeersIPAddr:       get[[]Address](v, "peers_ipaddr", nil),
		NATDPublicAddress: get[[]Address](v, "natd_public_address", nil),
		MyID:              get[[]ID](v, "my_id", nil),
		PeersID:           get[[]ID](v, "peers_id", nil),
		VerifyID:          get(v, "verify_id", true),
		InitialContact:    get(v, "initial_contact", true),
		NonceSize:         int(get(v, "nonce_size", uint64(defaultNonce))),
		NATTraversal:      NATTraversal(get(v, "nat_traversal", uint8(NATOn))),
		NeedPFS:           get(v, "need_pfs", false),
		ParentStrength:    get(v, "parent_child_strength", false),
		SelectorCheck:     Check(get(v, "selector_check", uint8(CheckExact))),
		ProposalCheck:     Check(get(v, "proposal_check", uint8(CheckStrict))),
		RandomPadContent:  get(v, "random_pad_content", false),
		RandomPadLen:      get(v, "random_padlen", false),
		MaxPadLen:         int(min(get(v, "max_padlen", uint64(0)), 255)),
		MaxRetryToSend:    get(v, "max_retry_to_send", defaultRetries),
		IntervalToSend:    get(v, "interval_to_send", defaultInterval),
		TimesPerSend:      get(v, "times_per_send", 1),
		Lifetime:          get(v, "kmp_sa_lifetime_time", defaultLifetime),
		LifetimeBytes:     get(v, "kmp_sa_lifetime_byte", uint64(0)),
		NegotiationLimit:  get(v, "kmp_sa_nego_time_limit", defaultNegotiation),
		GracePeriod:       get(v, "kmp_sa_grace_period", time.Duration(0)),
		ChildNegoLimit:    get(v, "ipsec_sa_nego_time_limit", time.Duration(0)),
		PreSharedKey:      get(v, "pre_shared_key", keyPath{}).path,
		PreSharedKeyHex:   get(v, "pre_shared_key", keyPath{}).hex,
		PreSharedKeyPos:   v.writtenAt("pre_shared_key"),
		MyKey:             get[*PublicKey](v, "my_public_key", nil),
		PeersKey:          get[*PublicKey](v, "peers_public_key", nil),
		DPDDelay:          get(v, "dpd_delay", defaultDPDDelay),
		Scripts:           get[map[Event]string](v, "script", nil),
		ScriptsPos:        v.writtenAt("script"),
	}
	if port := get(v, "peers_kmp_port", uint16(0)); port != 0 {
		c.PeersIPAddr = withPorts(c.PeersIPAddr, port)
	}
	for _, a := range get[[]choice](v, "kmp_auth_method", nil) {
		c.AuthMethods = append(c.AuthMethods, AuthMethod(a.value))
	}
	if kmp == KMPIKEv2 {
		r.checkLifetime(v, "kmp_sa_lifetime_time")
		r.checkCommon(v, &c, kmp)
	}
	return c
}

// bound is what a number must lie between, and why.
type bound struct {
	name       string
	value      int
	least, top int
	unit, why  string
}

// withinBounds reports values outside their bounds.
func (r *resolver) withinBounds(v view, bounds []bound) {
	for _, b := range bounds {
		if b.value >= b.least && b.value <= b.top || v.get(b.name) == nil {
			continue
		}
		r.errorf("out-of-range", at(v.posOf(b.name), b.name), fmt.Sprintf("write %d to %d %s", b.least, b.top, b.unit),
			"%s lies outside %d to %d %s%s", b.name, b.least, b.top, b.unit, b.why)
	}
}

// checkCommon looks at what all protocols have.
func (r *resolver) checkCommon(v view, c *Common, kmp KMP) {
	nonce := bound{"nonce_size", c.NonceSize, 16, 256, "octets", " (RFC 7296 §3.9)"}
	if kmp == KMPKINK {
		nonce.least, nonce.why = 8, " (RFC 2409 §5)"
	}
	r.withinBounds(v, []bound{
		nonce,
		{"max_padlen", int(min(get(v, "max_padlen", uint64(0)), 1<<20)), 0, 255, "octets", ""},
		{"max_retry_to_send", c.MaxRetryToSend, 1, 100, "retransmissions", ""},
		{"times_per_send", c.TimesPerSend, 1, 10, "copies", ""},
		{"interval_to_send", int(c.IntervalToSend / time.Second), 1, 3600, "seconds", ""},
	})
	for i, a := range c.PeersIPAddr {
		if a.Kind == AddressFQDN {
			r.oneName("a peer", a)
			continue
		}
		if a.Kind == AddressInet && a.Addr.IsUnspecified() && (a.IsHost() || a.Prefix.Bits() == 0) {
			// The reader of 0.0.0.0 means what IP_ANY says.
			c.PeersIPAddr[i].Kind, c.PeersIPAddr[i].Macro = AddressMacro, MacroAny
			continue
		}
		if a.Kind == AddressInet && !a.IsHost() {
			r.errorf("bad-address", at(a.Pos, a.String()), "write IP_ANY, and tell peers apart by peers_id",
				"a peer has an address, not a network")
		}
	}
}

// ikev1 reads what nothing uses, so that its mistakes are found all the same.
func (r *resolver) ikev1(v view) *IKEv1 {
	return &IKEv1{
		Common:     r.common(v, KMPIKEv1),
		Encryption: get[[]Algorithm](v, "kmp_enc_alg", nil),
		Hash:       get[[]Algorithm](v, "kmp_hash_alg", nil),
		DHGroup:    get[[]Algorithm](v, "kmp_dh_group", nil),
		MyGSSAPIID: get(v, "my_gssapi_id", ""),
		DPD:        get(v, "dpd", false),
		DPDRetry:   get(v, "dpd_retry", 5*time.Second),
		DPDMaxFail: get(v, "dpd_maxfail", 5),
	}
}

// buildDefaultRemote makes the remote of last resort of `default { remote }`. A
// default that is only there to be inherited is no remote, and no mistake: one for
// KINK has to say whom it is for.
func (r *resolver) buildDefaultRemote() {
	s := r.defaults[inRemote]
	if s == nil {
		return
	}
	remote := &Remote{Pos: s.pos, Name: "default"}
	r.report.mute++
	before := r.report.muted
	r.buildRemote(remote, view{own: s})
	r.report.mute--
	if remote.KINK != nil && remote.KINK.PeersPrincipal == "" {
		remote.KINK = nil
		remote.AcceptableKMP = slices.DeleteFunc(remote.AcceptableKMP, func(k KMP) bool { return k == KMPKINK })
		remote.Disabled = remote.Disabled || len(remote.AcceptableKMP) == 0
	}
	if remote.Disabled || r.report.muted != before {
		return
	}
	r.config.Default = remote
}
