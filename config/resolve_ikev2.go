package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// ikev2 reads the settings for IKEv2. The reason says why the remote cannot use
// them; it then returns nil.
func (r *resolver) ikev2(remote *Remote, v view) (*IKEv2, string) {
	k := &IKEv2{
		Common:               r.common(v, KMPIKEv2),
		CookieRequired:       get(v, "cookie_required", false),
		SendPeersID:          get(v, "send_peers_id", false),
		Fragmentation:        get(v, "fragmentation", true),
		AuthLifetime:         get(v, "auth_lifetime", time.Duration(0)),
		MOBIKE:               get(v, "mobike", false),
		WindowSize:           r.windowSize(v),
		ADDKERequired:        get(v, "addke_required", false),
		ADDKEUnrequested:     get(v, "addke_unrequested", false),
		OfferIntermediate:    get(v, "offer_intermediate", true),
		UsePPK:               get(v, "use_ppk", false),
		PPKMandatory:         get(v, "ppk_mandatory", false),
		PPKID:                get(v, "ppk_id", ""),
		PPKIDPos:             v.posOf("ppk_id"),
		Childless:            get(v, "childless", false),
		RequireConfigPayload: get(v, "require_config_payload", false),
	}
	for _, c := range get[[]choice](v, "request", nil) {
		k.Request = append(k.Request, ConfigAttribute(c.value))
	}
	r.peerless[remote] = k.PeersIPAddr == nil && !v.lacks("peers_ipaddr")
	k.Provide = r.provide(v)
	k.RADIUS = r.radius(v)
	r.checkIdentities(remote, v, k)
	remote.Certificates = certificates(k)
	reason := r.authMethods(remote, v, k)
	p := r.ikeProposals(v)
	if reason == "" {
		reason = p.reason
	}
	if reason != "" {
		return nil, reason
	}
	k.Proposals = p.list
	return k, ""
}

// certificates gathers the keys of a remote, whether it can use them or not.
func certificates(k *IKEv2) *Certificates {
	if k.MyKey == nil && k.PeersKey == nil {
		return nil
	}
	return &Certificates{Mine: k.MyKey, Peers: k.PeersKey, MyID: k.MyID, PeersID: k.PeersID, Methods: slices.Clone(k.AuthMethods)}
}

// windowSize reads window_size. The bound is that of the engine.
func (r *resolver) windowSize(v view) int {
	n := get(v, "window_size", 1)
	r.withinBounds(v, []bound{{"window_size", n, 1, 32, "requests", ""}})
	return n
}

// authMethods keeps the methods that are built.
func (r *resolver) authMethods(remote *Remote, v view, k *IKEv2) string {
	e := v.get("kmp_auth_method")
	if e == nil {
		k.AuthMethods = []AuthMethod{AuthPSK}
	}
	var leftOut []string
	for _, c := range get[[]choice](v, "kmp_auth_method", nil) {
		if m := AuthMethod(c.value); m != AuthPSK {
			leftOut = append(leftOut, m.String())
			r.warnf("left-out", c.item, "", "%s is left out: it is not built yet", m)
		}
	}
	k.AuthMethods = slices.DeleteFunc(k.AuthMethods, func(m AuthMethod) bool { return m != AuthPSK })
	if len(k.AuthMethods) == 0 {
		return emptyReason(e, leftOut)
	}
	if v.lacks("pre_shared_key") {
		r.errorf("no-pre-shared-key", at(v.pos(), "ikev2"), `add: pre_shared_key "PATH";`,
			"remote %s authenticates with psk and has no pre_shared_key", clip(remote.Name))
	}
	return ""
}

// checkIdentities asks for the identities that authentication needs.
func (r *resolver) checkIdentities(remote *Remote, v view, k *IKEv2) {
	if v.lacks("my_id") {
		r.errorf("no-my-id", at(v.pos(), "ikev2"), `add: my_id fqdn "host.example.org";, or my_id ipaddr with this host's address`,
			"remote %s has no my_id: the peer would not know whom it talks to", clip(remote.Name))
	}
	if len(k.MyID) > 1 {
		r.advise("no-effect", at(k.MyID[1].Pos, k.MyID[1].Type.String()), "", "only the first my_id is sent")
	}
	for _, id := range k.MyID {
		if id.Type == IDIPAddr && id.Address.Kind == AddressMacro && id.Address.Macro.Any() {
			r.errorf("bad-value", at(id.Pos, id.Type.String()), "write this host's address, or MY_IP",
				"my_id cannot be %s", id.Value)
		}
	}
	for _, id := range slices.Concat(k.MyID, k.PeersID) {
		if id.Type == IDX509Subject {
			r.warnf("not-built", at(id.Pos, id.Type.String()), "use fqdn", "x509_subject is not built yet")
		}
	}
	if !v.lacks("peers_id") || !k.VerifyID {
		return
	}
	if ids := addressIDs(k.PeersIPAddr); len(ids) > 0 {
		k.PeersID = ids
		r.advise("default-peers-id", at(v.pos(), "ikev2"), "write peers_id",
			"remote %s has no peers_id; its address %s is taken", clip(remote.Name), ids[0].Value)
		return
	}
	name := "peer.example.org"
	for _, a := range k.PeersIPAddr {
		if a.Kind == AddressFQDN {
			name = a.Name
			break
		}
	}
	r.errorf("no-peers-id", at(v.pos(), "ikev2"), fmt.Sprintf("add: peers_id fqdn %q;", name),
		"remote %s has no peers_id: with verify_id on nobody would be accepted", clip(remote.Name))
}

// addressIDs are the identities of a peer that is known by its addresses.
func addressIDs(peers []Address) []ID {
	var ids []ID
	for _, a := range peers {
		if a.Kind == AddressInet && a.IsHost() {
			a.Port, a.HasPort = 0, false
			ids = append(ids, ID{Pos: a.Pos, Type: IDIPAddr, Value: a.Addr.String(), Address: a})
		}
	}
	return ids
}

// provide reads what a responder hands out.
func (r *resolver) provide(v view) *Provide {
	e := v.get("provide")
	if e == nil {
		return nil
	}
	s, _ := e.val.(*section)
	inner := view{own: s}
	p := &Provide{
		Pos:                e.pos,
		DNS:                get[[]Address](inner, "dns", nil),
		DHCP:               get[[]Address](inner, "dhcp", nil),
		ApplicationVersion: get(inner, "application_version", ""),
	}
	if n := get(inner, "addresspool", name{}); n.text != "" {
		p.AddressPool = refer(r, r.config.index.pools, "addresspool", n)
	}
	if a := get(inner, "mip6_home_prefix", Address{}); a.Kind != 0 {
		p.MIP6HomePrefix = &a
	}
	return p
}

// radius reads the RADIUS server, written flat or inside eap.
func (r *resolver) radius(v view) *RADIUS {
	if e := v.get("eap"); e != nil {
		s, _ := e.val.(*section)
		v = view{own: s}
	}
	server := get(v, "radius_server", Address{})
	if server.Kind == 0 {
		return nil
	}
	return &RADIUS{
		Server:     server,
		Port:       get(v, "radius_port", uint16(defaultRADIUS)),
		SecretFile: get(v, "radius_secret_file", ""),
		SecretPos:  v.writtenAt("radius_secret_file"),
	}
}

// endPoint returns the peer's first address that can be a tunnel's end, or nil.
func (c *Common) endPoint() *Address {
	for _, a := range c.PeersIPAddr {
		switch {
		case a.Kind == AddressInet && a.IsHost():
			a.Port, a.HasPort = 0, false
			return &a
		case a.Kind == AddressMacro && a.Macro.Any():
			a.Macro, a.Port, a.HasPort = MacroRW, 0, false
			return &a
		case a.Kind == AddressFQDN:
			a.Port, a.HasPort = 0, false
			return &a
		}
	}
	return nil
}

// checkSamePeers warns of remotes that cannot be told apart.
func (r *resolver) checkSamePeers() {
	type peer struct {
		addr netip.AddrPort
		name string
		id   string
	}
	first := map[peer]*Remote{}
	for _, remote := range r.config.Remotes {
		if remote.IKEv2 == nil {
			continue
		}
		for _, p := range remote.IKEv2.PeersIPAddr {
			if p.Kind != AddressInet && p.Kind != AddressFQDN || !p.IsHost() {
				continue
			}
			for _, id := range remote.IKEv2.PeersID {
				key := peer{netip.AddrPortFrom(p.Addr, p.Port), p.Name, fmt.Sprint(id.Type, " ", id.Value)}
				if old := first[key]; old != nil && old != remote {
					r.warnf("same-peer", at(remote.Pos, "remote"), "give one of them another peers_id",
						"remotes %s and %s have the same peer %s with the same peers_id %s: the first in the file answers",
						clip(old.Name), clip(remote.Name), p, clip(strconv.Quote(id.Value)))
					continue
				}
				first[key] = remote
			}
		}
	}
}
