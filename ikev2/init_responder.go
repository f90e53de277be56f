package ikev2

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel/trace"
)

// halfOpenTime bounds how long a responder keeps an IKE SA whose peer has not
// authenticated itself, whatever the configuration allows for a whole set-up.
const halfOpenTime = 60 * time.Second

// exchanged is what the key exchange job of a responder brings.
type exchanged struct {
	public, shared []byte
}

// keyExchange is both halves of a responder's key exchange, as a job.
func keyExchange(group transform.KE, peerValue []byte) func() (any, error) {
	return func() (any, error) {
		key, err := transform.GenerateKey(group)
		if err != nil {
			return nil, err
		}
		shared, err := key.SharedSecret(peerValue)
		if err != nil {
			return nil, err
		}
		return exchanged{key.Public(), shared}, nil
	}
}

// initRequest takes a request to start an IKE SA. Until its cookie, its remote,
// its proposals and its group are right, nothing is kept of it.
func (e *Engine) initRequest(in Datagram, h message.Header) {
	if h.SPIi == 0 || h.SPIr != 0 || h.MessageID != 0 || h.Flags&message.FlagInitiator == 0 {
		e.drop(in, reasonUnexpected, "an IKE_SA_INIT request with wrong SPIs, flags or Message ID")
		return
	}
	key := initialKey{h.SPIi, in.Remote, sha256.Sum256(in.Data)}
	if sa := e.initial[key]; sa != nil {
		if t := sa.x.find(0); t != nil && !t.protected {
			sa.repeated(in, t)
		}
		return
	}
	if e.closing {
		e.drop(in, reasonShutdown, "no new IKE SA while this agent shuts down")
		return
	}
	raw, err := message.Decode(in.Data)
	if err != nil {
		// RFC 7296 §3.10.1: INVALID_SYNTAX is only ever sent protected.
		e.drop(in, reasonInvalidSyntax, "a malformed IKE_SA_INIT request: "+err.Error())
		return
	}
	m := &received{Header: h, in: in, payloads: raw.Payloads, hash: key.hash}
	if t, critical := message.UnsupportedCritical(m.payloads); critical {
		e.drop(in, reasonCritical, fmt.Sprintf("payload %d of an IKE_SA_INIT request is critical and not known", t))
		e.answerClear(in, h, notify(message.UNSUPPORTED_CRITICAL_PAYLOAD, []byte{byte(t)}))
		return
	}
	r, why := lookUp(e.table, stateIdle, m)
	if r == nil {
		e.drop(in, reasonInvalidSyntax, "an IKE_SA_INIT request that is refused: "+why)
		return
	}
	if remote, c := e.admit(m); c != nil {
		e.respondInit(r, m, key, remote, c)
	}
}

// admit runs every check that needs no state: cookies, the bound on half-open
// IKE SAs, the remote, the proposals, the group.
func (e *Engine) admit(m *received) (*Remote, *chosen) {
	in := m.in
	ni := find[*message.Nonce](m).Data
	cookie := m.notification(message.COOKIE)
	halfOpen := int(e.cfg.Shared.HalfOpen.Load())
	valid := cookie != nil && e.cookies.check(e, cookie.Data, m.SPIi, in.Remote.Addr(), ni)
	if !valid && e.settings.CookieThreshold > 0 && halfOpen >= e.settings.CookieThreshold {
		e.askCookie(m, ni, fmt.Sprintf("%d half-open IKE SAs", halfOpen))
		return nil, nil
	}
	candidates := e.candidates(in.Remote.Addr())
	if len(candidates) == 0 {
		e.drop(in, reasonNoRemote, fmt.Sprintf("no remote accepts requests from %s", in.Remote.Addr()))
		e.answerClear(in, m.Header, notify(message.NO_PROPOSAL_CHOSEN, nil))
		return nil, nil
	}
	required := slices.ContainsFunc(candidates, func(r *Remote) bool { return r.CookieRequired })
	if !valid && required {
		e.askCookie(m, ni, candidates[0].place()+" requires it")
		return nil, nil
	}
	if e.settings.MaxHalfOpen > 0 && halfOpen >= e.settings.MaxHalfOpen {
		e.drop(in, reasonHalfOpenLimit, fmt.Sprintf("%d half-open IKE SAs are as many as allowed", halfOpen))
		return nil, nil
	}
	if p := e.crowd.full(in.Remote.Addr(), e.settings.MaxHalfOpenAddress, e.settings.MaxHalfOpenNetwork); p.IsValid() {
		e.drop(in, reasonHalfOpenLimit, fmt.Sprintf("%s has as many half-open IKE SAs as allowed", p))
		return nil, nil
	}
	return e.chooseIKE(m, candidates)
}

// chooseIKE finds the first candidate whose proposals fit and checks the group
// of the KE payload (RFC 7296 §1.2).
func (e *Engine) chooseIKE(m *received, candidates []*Remote) (*Remote, *chosen) {
	offers, ke := find[*message.SA](m).Proposals, find[*message.KE](m)
	for _, r := range candidates {
		c, _ := choose(r.acceptable(), offers, ke.Method)
		if c == nil {
			continue
		}
		if c.ke() == ke.Method {
			return r, c
		}
		e.trace(trace.ProtoWarn, reasonInvalidKE,
			fmt.Sprintf("KE: peer sends a value for %s; of its offer %s chooses %s", ke.Method, r.place(), c.ke()),
			attr("peer", m.in.Remote.String()), attr("remote", r.Name))
		e.answerClear(m.in, m.Header, notify(message.INVALID_KE_PAYLOAD, binary.BigEndian.AppendUint16(nil, uint16(c.ke()))))
		return nil, nil
	}
	r := candidates[0]
	ours := r.acceptable()
	_, why := choose(ours, offers, ke.Method)
	e.trace(trace.ProtoErr, reasonNoProposal, "no IKE proposal of the peer is acceptable: "+why.words(r.place()),
		attr("peer", m.in.Remote.String()), attr("remote", r.Name), attr("offered", proposalList(offers)),
		attr("configured", proposalList(offer(ours, nil))), attr("first_mismatch", why.words(r.place())))
	e.answerClear(m.in, m.Header, notify(message.NO_PROPOSAL_CHOSEN, nil))
	return nil, nil
}

// candidates are the remotes that accept requests from an address, in the
// configuration's order.
func (e *Engine) candidates(addr netip.Addr) []*Remote {
	addr = addr.Unmap()
	var list []*Remote
	for _, r := range e.settings.Remotes {
		known := slices.ContainsFunc(r.Peers, func(p netip.AddrPort) bool { return p.Addr().Unmap() == addr })
		if r.AnyPeer || known {
			list = append(list, r)
		}
	}
	return list
}

// respondInit makes the half-open IKE SA.
func (e *Engine) respondInit(r *row, m *received, key initialKey, remote *Remote, c *chosen) {
	sa := e.newSA(m.in.Local, m.in.Remote, false)
	sa.setup = &setup{remote: remote, initRequest: m.in.Data, ni: slices.Clone(find[*message.Nonce](m).Data)}
	sa.spii, sa.suite = m.SPIi, c.suite()
	sa.initial = key
	e.initial[key] = sa
	sa.halfOpen = true
	e.crowd.enter(key.peer.Addr())
	e.cfg.Shared.HalfOpen.Add(1)
	limit := halfOpenTime
	if remote.SetupTimeout > 0 {
		limit = min(limit, remote.SetupTimeout)
	}
	sa.setTimer(timerGiveUp, limit)
	var err error
	if sa.spir, err = e.newSPI(); err == nil {
		sa.setup.nr, err = e.nonce(remote)
	}
	if err != nil {
		e.trace(trace.InternalErr, reasonRandom, "cannot answer IKE_SA_INIT: "+err.Error(), sa.attrs()...)
		sa.destroy(reasonRandom, "no random octets")
		return
	}
	e.bySPI[sa.spir] = sa
	sa.x.accept(0, m.hash, false)
	sa.setup.offered = []message.Proposal{c.proposal(nil)}
	r.run(sa, m)
}

// initRequest agrees on keys and answers (RFC 7296 §1.2).
func (sa *ikeSA) initRequest(r *row, m *received) {
	group, peerValue := sa.suite.ke, find[*message.KE](m).Data
	sa.setup.peerHashes = sa.detectNAT(m, sa.setup.remote)
	sa.setup.ppk = m.offersPPK() && slices.ContainsFunc(sa.e.candidates(m.in.Remote.Addr()), func(r *Remote) bool { return r.PPK != nil })
	sa.setup.childless = sa.setup.remote.Childless
	sa.frag.agreed = sa.setup.remote.Fragmentation && m.notification(message.IKEV2_FRAGMENTATION_SUPPORTED) != nil
	sa.job("key exchange "+group.String(), keyExchange(group, peerValue), func(v any, err error) {
		x, _ := v.(exchanged)
		if !sa.deriveFirst(x.shared, err) {
			return
		}
		sa.answerInit(r, m, x.public)
	})
}

// answerInit sends the IKE_SA_INIT response, in the clear.
func (sa *ikeSA) answerInit(r *row, m *received, public []byte) {
	s := sa.setup
	list := []message.Payload{
		&message.SA{Proposals: s.offered},
		&message.KE{Method: sa.suite.ke, Data: public},
		&message.Nonce{Data: s.nr},
	}
	if s.peerHashes {
		list = append(list, sa.natPayloads(s.remote, sa.local, sa.peer)...)
	}
	if s.ppk {
		list = append(list, notify(message.USE_PPK, nil)) // RFC 8784 §3
	}
	if s.childless {
		list = append(list, &message.Notify{Kind: message.CHILDLESS_IKEV2_SUPPORTED, Protocol: message.ProtocolIKE})
	}
	if sa.frag.agreed {
		list = append(list, notify(message.IKEV2_FRAGMENTATION_SUPPORTED, nil)) // RFC 7383 §2.3
	}
	data, err := message.Encode(&message.Message{
		Header: message.Header{SPIi: sa.spii, SPIr: sa.spir, Major: 2, Exchange: message.IKE_SA_INIT,
			Flags: message.FlagResponse},
		Payloads: list,
	})
	if err != nil {
		sa.e.trace(trace.InternalErr, reasonInternal, "cannot build the IKE_SA_INIT response: "+err.Error(), sa.attrs()...)
		sa.destroy(reasonInternal, "IKE_SA_INIT could not be answered")
		return
	}
	s.initResponse = data
	sa.x.keep(0, [][]byte{data}, answered{})
	sa.state = r.next
	sa.send(m.in.Local, m.in.Remote, [][]byte{data})
}

// answerClear answers a request outside of any IKE SA: same SPIs, Message ID
// and exchange, and never longer than what asked (RFC 7296 §1.5, §2.21.4).
//
// Errors are few in a second, whoever asks; what leads on (a cookie, a group) is
// answered each time.
func (e *Engine) answerClear(in Datagram, h message.Header, n *message.Notify) {
	leadsOn := n.Kind == message.COOKIE || n.Kind == message.INVALID_KE_PAYLOAD
	if !leadsOn && !e.refusals.take(e.now) {
		return
	}
	answer := message.Header{SPIi: h.SPIi, SPIr: h.SPIr, Major: 2, Exchange: h.Exchange, MessageID: h.MessageID,
		Flags: message.FlagResponse | (h.Flags&message.FlagInitiator ^ message.FlagInitiator)}
	data, err := message.Encode(&message.Message{Header: answer, Payloads: []message.Payload{n}})
	if err != nil || len(data) > len(in.Data) {
		return
	}
	e.do(Send{Local: in.Local, Remote: in.Remote, Data: data})
}
