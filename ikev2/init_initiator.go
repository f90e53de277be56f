package ikev2

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel/trace"
)

// setupTask is the pair of IKE_SA_INIT and IKE_AUTH exchanges of an initiator.
// Its failure is dealt with where the IKE SA ends, which knows what was wanted.
type setupTask struct{}

func (setupTask) start(*ikeSA)                  {}
func (setupTask) failed(*ikeSA, string, string) {}

// open starts a new IKE SA to the peer with this index, to repeat the
// authentication of an old one if that is not nil.
func (e *Engine) open(r *Remote, wanted []want, index int, replaces *ikeSA) *ikeSA {
	peer := r.Peers[index]
	if peer.Port() == 0 {
		peer = netip.AddrPortFrom(peer.Addr(), ikePort)
	}
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	sa := e.newSA(netip.AddrPort{}, peer, true)
	sa.setup = &setup{remote: r, wanted: wanted, peerIndex: index, replaces: replaces}
	if replaces != nil {
		replaces.heir = sa
	}
	sa.bind(r)
	sa.x.current = setupTask{}
	if r.SetupTimeout > 0 {
		sa.setTimer(timerGiveUp, r.SetupTimeout)
	}
	if my := wanted[0].child.MyEnd; my.IsValid() && !my.IsUnspecified() && my.BitLen() == peer.Addr().BitLen() && e.hasLocal(my) {
		sa.mob.pinned = true
		sa.begin(my)
		return sa
	}
	e.do(Route{Serial: sa.serial, Remote: peer.Addr()})
	return sa
}

// routed continues with the local address.
func (e *Engine) routed(in Routed) {
	sa := e.sas[in.Serial]
	if sa != nil && sa.mob.toward.IsValid() {
		sa.rerouted(in)
		sa.pump()
		return
	}
	if sa == nil || sa.state != stateIdle || sa.setup == nil || sa.local.IsValid() {
		return
	}
	if in.Err != nil || !in.Local.IsValid() {
		text := fmt.Sprintf("no address of this host reaches %s", sa.peer.Addr())
		if in.Err != nil {
			text += ": " + in.Err.Error()
		}
		e.trace(trace.InternalErr, reasonNoRoute, text, sa.attrs()...)
		sa.destroy(reasonNoRoute, text)
		return
	}
	sa.begin(in.Local.Unmap())
}

// begin has both addresses: it makes the first half of the key exchange.
func (sa *ikeSA) begin(local netip.Addr) {
	e, s := sa.e, sa.setup
	port := e.settings.IKEPort
	if port == 0 {
		port = ikePort
	}
	if sa.peer.Port() == natPort && e.settings.NATPort != 0 {
		port = e.settings.NATPort // RFC 7296 §2.23: starting on 4500 is allowed
	}
	sa.local = netip.AddrPortFrom(local, port)
	var err error
	if sa.spii, err = e.newSPI(); err == nil {
		s.ni, err = e.nonce(s.remote)
	}
	groups := s.remote.groups()
	if err == nil && len(groups) == 0 {
		err = fmt.Errorf("%s has no key exchange method", s.remote.place())
	}
	if err != nil {
		e.trace(trace.InternalErr, reasonInternal, "cannot start an IKE SA: "+err.Error(), sa.attrs()...)
		sa.destroy(reasonInternal, err.Error())
		return
	}
	e.bySPI[sa.spii] = sa
	s.offered = offer(s.remote.ikeAlternatives(), nil)
	sa.makeKey(groups[0])
}

// makeKey generates the key pair for a group and then sends IKE_SA_INIT.
func (sa *ikeSA) makeKey(group transform.KE) {
	s := sa.setup
	s.group = group
	s.tried = append(s.tried, group)
	s.key = nil
	sa.job("generate key "+group.String(), func() (any, error) { return transform.GenerateKey(group) },
		func(v any, err error) {
			key, ok := v.(transform.PrivateKey)
			if err != nil || !ok {
				text := fmt.Sprintf("no key pair for %s: %v", group, err)
				sa.e.trace(trace.InternalErr, reasonInternal, text, sa.attrs()...)
				sa.destroy(reasonInternal, text)
				return
			}
			s.key = key
			sa.sendInit()
		})
}

// sendInit sends IKE_SA_INIT, the first time or again with a cookie or another
// group. Its Message ID is 0 each time (RFC 7296 §2.6, §1.2).
func (sa *ikeSA) sendInit() {
	s := sa.setup
	var list []message.Payload
	if s.cookie != nil {
		// RFC 7296 §2.6: the cookie is the first payload, the rest is unchanged.
		list = append(list, notify(message.COOKIE, s.cookie))
	}
	list = append(list,
		&message.SA{Proposals: s.offered},
		&message.KE{Method: s.group, Data: s.key.Public()},
		&message.Nonce{Data: s.ni})
	list = append(list, sa.natPayloads(s.remote, sa.local, sa.peer)...)
	if s.remote.Fragmentation {
		list = append(list, notify(message.IKEV2_FRAGMENTATION_SUPPORTED, nil)) // RFC 7383 §2.3
	}
	if s.remote.PPK != nil {
		list = append(list, notify(message.USE_PPK, nil)) // RFC 8784 §3
	}
	data, err := message.Encode(&message.Message{
		Header:   message.Header{SPIi: sa.spii, Major: 2, Exchange: message.IKE_SA_INIT, Flags: message.FlagInitiator},
		Payloads: list,
	})
	if err != nil {
		sa.e.trace(trace.InternalErr, reasonInternal, "cannot build IKE_SA_INIT: "+err.Error(), sa.attrs()...)
		sa.destroy(reasonInternal, "IKE_SA_INIT could not be built")
		return
	}
	s.initRequest = data
	sa.state = stateInitSent
	sa.x.next = 0
	sa.transmit(message.IKE_SA_INIT, [][]byte{data})
}

// maxCookies bounds how often a responder may ask for another cookie.
const maxCookies = 3

// initRefused takes an IKE_SA_INIT response without SA, KE and Nr: a cookie, a
// group, or an error that is only a hint because nobody signed it.
func (sa *ikeSA) initRefused(_ *row, m *received) {
	if n := m.notification(message.COOKIE); n != nil {
		sa.takeCookie(m, n.Data)
		return
	}
	if n := m.notification(message.INVALID_KE_PAYLOAD); n != nil {
		sa.takeGroup(m, n.Data)
		return
	}
	n := m.refusal()
	if n == nil {
		sa.e.drop(m.in, reasonUnexpected, "an IKE_SA_INIT response without SA and without error")
		return
	}
	if sa.setup.refusal != "" {
		return
	}
	sa.discouraged(reasonPeerRefused, n.Kind.String())
}

// discouraged notes what stands against going on, in a message that nobody
// authenticated: this host goes on trying for some time, for two retransmissions
// (RFC 7296 §2.21.1).
func (sa *ikeSA) discouraged(reason, what string) {
	sa.setup.refusal = what
	r := sa.x.flights[0] // nothing else is asked before an IKE SA stands
	r.limit = min(r.limit, r.resent+2)
	sa.e.trace(trace.ProtoWarn, reason,
		fmt.Sprintf("the peer sends %s in the clear; trying on for a little", what),
		sa.attrs(attr("offered", proposalList(sa.setup.offered)))...)
}

func (sa *ikeSA) takeCookie(m *received, cookie []byte) {
	s := sa.setup
	// RFC 7296 §2.6: a cookie has 1 to 64 octets.
	if len(cookie) < 1 || len(cookie) > 64 {
		sa.e.drop(m.in, reasonInvalidSyntax, fmt.Sprintf("a cookie of %d octets", len(cookie)))
		return
	}
	if s.cookies++; s.cookies > maxCookies {
		sa.e.drop(m.in, reasonCookieLimit, "the peer keeps asking for other cookies")
		return
	}
	s.cookie = slices.Clone(cookie)
	sa.answered(sa.x.flights[0])
	sa.sendInit()
}

// takeGroup retries with the group that the peer wants. Only groups that were
// offered count, and each one once: the SA payload stays the same and AUTH
// covers it, so that nobody in between can lower it (RFC 7296 §1.2).
func (sa *ikeSA) takeGroup(m *received, data []byte) {
	s := sa.setup
	if len(data) != 2 {
		sa.e.drop(m.in, reasonInvalidSyntax, "INVALID_KE_PAYLOAD without a group")
		return
	}
	group := transform.KE(binary.BigEndian.Uint16(data))
	switch {
	case !slices.Contains(s.remote.groups(), group):
		sa.e.trace(trace.ProtoWarn, reasonInvalidKE,
			fmt.Sprintf("KE: peer wants %s; %s offers %s", group, s.remote.place(), keList(s.remote.groups())), sa.attrs()...)
		s.refusal = message.INVALID_KE_PAYLOAD.String()
	case slices.Contains(s.tried, group):
		sa.e.trace(trace.ProtoWarn, reasonInvalidKE, fmt.Sprintf("the peer wants %s again", group), sa.attrs()...)
	default:
		sa.e.trace(trace.Info, reasonInvalidKE, fmt.Sprintf("the peer wants %s instead of %s", group, s.group), sa.attrs()...)
		sa.answered(sa.x.flights[0])
		sa.makeKey(group)
	}
}

func keList(list []transform.KE) string {
	return transformList(listChoice(transform.TypeKE, list).transforms)
}

// initAnswer takes the responder's choice. Nothing about it is authenticated
// yet, so that a bad one is dropped and the good one may still come.
func (sa *ikeSA) initAnswer(_ *row, m *received) {
	s := sa.setup
	c, err := verifyChoice(s.offered, find[*message.SA](m).Proposals)
	ke := find[*message.KE](m)
	switch {
	case err == nil && m.SPIr == 0:
		err = fmt.Errorf("the responder's SPI is 0")
	case err == nil && (c.ke() != s.group || ke.Method != s.group):
		err = fmt.Errorf("the answer chooses %s with a KE payload of %s, the request had %s", c.ke(), ke.Method, s.group)
	}
	if err != nil {
		sa.e.drop(m.in, reasonNoProposal, "an IKE_SA_INIT response that is not acceptable: "+err.Error())
		return
	}
	if p := s.remote.PPK; p != nil && p.Mandatory && !m.offersPPK() {
		// RFC 8784 §3: nothing may follow. Another answer may be the peer's own.
		if s.refusal == "" {
			sa.discouraged(reasonPPK, "an answer without USE_PPK, which "+s.remote.place()+" makes mandatory,")
		}
		return
	}
	sa.answered(sa.x.flights[0])
	// RFC 6023 §3: never without the peer's word for it.
	s.childless = s.wanted[0].child.Childless && m.notification(message.CHILDLESS_IKEV2_SUPPORTED) != nil
	s.ppk = s.remote.PPK != nil && m.offersPPK()
	sa.spir = m.SPIr
	sa.suite = c.suite()
	s.nr = slices.Clone(find[*message.Nonce](m).Data)
	s.initResponse = m.in.Data
	s.peerHashes = sa.detectNAT(m, s.remote)
	sa.float()
	sa.frag.agreed = s.remote.Fragmentation && m.notification(message.IKEV2_FRAGMENTATION_SUPPORTED) != nil

	key, peerValue := s.key, ke.Data
	s.key = nil
	sa.job("shared secret "+s.group.String(), func() (any, error) { return key.SharedSecret(peerValue) },
		func(v any, err error) { sa.initShared(v, err) })
}

// initShared has g^ir: it derives the keys and goes on with IKE_AUTH.
func (sa *ikeSA) initShared(v any, err error) {
	if !sa.deriveFirst(v, err) {
		return
	}
	sa.state = stateAuthSent
	if sa.setup.childless {
		sa.sendAuth(nil)
		return
	}
	sa.reserveFirst()
}

// deriveFirst turns the result of the key exchange into the keys of a new IKE SA.
func (sa *ikeSA) deriveFirst(v any, err error) bool {
	s := sa.setup
	shared, _ := v.([]byte)
	defer clear(shared)
	if err != nil || len(shared) == 0 {
		text := fmt.Sprintf("the peer's KE payload is not usable: %v", err)
		sa.e.trace(trace.ProtoErr, reasonInvalidKE, text, sa.attrs()...)
		sa.destroy(reasonInvalidKE, text)
		return false
	}
	prf, err := transform.NewPRF(sa.suite.prf)
	if err == nil {
		seed := firstSeed(sa.suite.prf, prf, s.ni, s.nr, shared)
		sa.keys, err = sa.e.deriveKeys(sa.suite, seed, s.ni, s.nr, sa.spii, sa.spir, sa.initiator)
		clear(seed)
	}
	if err != nil {
		sa.e.trace(trace.InternalErr, reasonInternal, "no keys: "+err.Error(), sa.attrs()...)
		sa.destroy(reasonInternal, "the keys could not be derived")
		return false
	}
	return true
}
