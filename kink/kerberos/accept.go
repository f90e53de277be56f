package kerberos

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"racoon2/kink"
)

// acceptance is an AP-REQ on its way through the checks.
type acceptance struct {
	h       *Host
	clock   time.Time // this host's
	now     time.Time // with the KDC's offset
	offset  time.Duration
	source  netip.Addr
	req     apReq
	account *account
	part    ticketPart
	auth    authenticator
}

// Accept is part of kink.Kerberos. What is cheap comes first; what needs no key
// comes before what needs one; the names come from the ticket alone (RFC 4120 §3.2.3).
// The order is ours: gokrb5's VerifyAPREQ believes the authenticator's realm, reads
// PACs, knows no user-to-user, and has a clock and a replay cache of its own.
func (h *Host) Accept(now time.Time, octets []byte, source netip.Addr) (kink.ServerSession, error) {
	req, err := decodeAPReq(octets)
	if err != nil {
		return nil, err
	}
	a := &acceptance{h: h, clock: now, source: source.Unmap().WithZone(""), req: req}
	if err := a.header(); err != nil {
		return nil, err
	}
	a.offset = h.offset(a.account.principal.Realm)
	a.now = now.Add(a.offset)
	for _, step := range []func() error{a.openTicket, a.checkTicket, a.openAuthenticator} {
		if err := step(); err != nil {
			return nil, a.name(err)
		}
	}
	s := a.session()
	if err := a.times(); err != nil {
		return s, a.name(err)
	}
	return s, nil
}

// name says in an error which principal of this host was meant.
func (a *acceptance) name(err error) error {
	var k *kink.KRBError
	if errors.As(err, &k) {
		k.Local = a.account.name
	}
	return err
}

// header checks what stands in the clear.
func (a *acceptance) header() error {
	service := a.req.ticket.service
	// RFC 4430 §4.2.1: mutual authentication is required.
	if a.req.options&apMutualRequired == 0 {
		return krbErrorf(kink.KRB_AP_ERR_MSG_TYPE, "the AP-REQ does not ask for mutual authentication, which RFC 4430 §4.2.1 requires")
	}
	if a.account = a.h.accounts[service.String()]; a.account == nil {
		return krbErrorf(kink.KRB_AP_ERR_NOT_US, "the ticket is for %s; this host is %s", service, strings.Join(a.h.names, ", "))
	}
	for _, part := range []struct {
		what string
		data encryptedData
	}{{"ticket", a.req.ticket.part}, {"authenticator", a.req.authenticator}} {
		if err := a.h.checkPart(part.what, part.data); err != nil {
			return a.name(err)
		}
	}
	return nil
}

// checkPart refuses a type that is not configured, and a ciphertext that is too
// short to be one.
func (h *Host) checkPart(what string, v encryptedData) error {
	if !slices.Contains(h.conf.ETypes, v.etype) {
		return krbErrorf(kdcErrETypeNoSupp, "the %s is encrypted with %v; configured are %s", what, v.etype, etypeNames(h.conf.ETypes))
	}
	if least := v.etype.suite().minimum(); len(v.cipher) < least {
		return krbErrorf(kink.KRB_AP_ERR_BAD_INTEGRITY, "the %s has %d octets of ciphertext; %v has %d at least", what, len(v.cipher), v.etype, least)
	}
	return nil
}

// openTicket decrypts the ticket with the key of the service or of a TGT.
func (a *acceptance) openTicket() error {
	open := a.openUnderKeytab
	if a.req.options&apUseSessionKey != 0 {
		open = a.openUnderTGT
	}
	plain, err := open()
	if err != nil {
		return err
	}
	defer clear(plain)
	if a.part, err = decodeTicketPart(plain); err != nil {
		return krbErrorf(kink.KRB_AP_ERR_MODIFIED, "%w", err)
	}
	return nil
}

// openUnderKeytab tries the keys that the key version leaves.
func (a *acceptance) openUnderKeytab() ([]byte, error) {
	part := a.req.ticket.part
	p := a.account.principal
	keys, err := a.h.file.keysFor(a.clock, p, part)
	if err != nil {
		return nil, err
	}
	var last error
	for _, e := range keys {
		plain, err := part.open(e.key, usageTicket)
		if err == nil {
			return plain, nil
		}
		last = err
	}
	return nil, krbErrorf(kink.KRB_AP_ERR_BAD_INTEGRITY, "the ticket for %s does not decrypt with this host's key, the keytab has another key than the KDC: %w", p, last)
}

// openUnderTGT tries the session keys of the present TGT and the one before it (RFC
// 4120 §3.7). A TGT that has gone is not a dead peer's doing: RFC 4430 §3.7.1.
func (a *acceptance) openUnderTGT() ([]byte, error) {
	for _, t := range a.account.tgts() {
		if t.key.etype != a.req.ticket.part.etype {
			continue
		}
		if plain, err := a.req.ticket.part.open(t.key, usageTicket); err == nil {
			return plain, nil
		}
	}
	return nil, &kink.KRBError{Code: kink.KRB_AP_ERR_NOKEY, LostTGT: true,
		Reason: "the user-to-user ticket is not under a TGT that this host has"}
}

// checkTicket looks at what the ticket allows.
func (a *acceptance) checkTicket() error {
	if !slices.Contains(a.h.conf.ETypes, a.part.key.etype) {
		return krbErrorf(kdcErrETypeNoSupp, "the session key is of %v; configured are %s", a.part.key.etype, etypeNames(a.h.conf.ETypes))
	}
	if a.part.bound && !slices.Contains(a.part.addresses, a.source) {
		return krbErrorf(apErrBadAddr, "the ticket is bound to addresses, and %s is none of them", a.source)
	}
	// RFC 4120 §2.7: a path through other realms is trusted when the KDC has checked it.
	if a.part.client.Realm != a.account.principal.Realm && a.part.transited && a.part.flags&flagTransitedChecked == 0 {
		return krbErrorf(kdcErrPathNotAccepted, "the realms between %s and %s were not checked by a KDC", a.part.client.Realm, a.account.principal.Realm)
	}
	return nil
}

// openAuthenticator decrypts the authenticator and holds it against the ticket.
func (a *acceptance) openAuthenticator() error {
	plain, err := a.req.authenticator.open(a.part.key, usageAPReqAuth)
	if err != nil {
		return krbErrorf(kink.KRB_AP_ERR_BAD_INTEGRITY, "the authenticator: %w", err)
	}
	defer clear(plain)
	if a.auth, err = decodeAuthenticator(plain); err != nil {
		return krbErrorf(kink.KRB_AP_ERR_MODIFIED, "the authenticator: %w", err)
	}
	// RFC 4120 §3.2.3: name and realm of the client must match.
	if !a.auth.client.Equal(a.part.client) {
		return krbErrorf(kink.KRB_AP_ERR_BADMATCH, "the authenticator is of %s, the ticket of %s", a.auth.client, a.part.client)
	}
	return nil
}

// times come last, so that errors of time can be authenticated (RFC 4430 §3.5).
func (a *acceptance) times() error {
	skew := a.h.conf.Skew
	if d := a.now.Sub(a.auth.time); d.Abs() > skew {
		return krbErrorf(kink.KRB_AP_ERR_SKEW, "the clock of %s differs by %s; %s are allowed", a.part.client, -d.Round(time.Second), skew)
	}
	// Here too, where the error can still be told to the peer with the session.
	if err := a.h.replays.early(a.auth.time, a.offset); err != nil {
		return err
	}
	if a.part.flags&flagInvalid != 0 {
		return krbErrorf(kink.KRB_AP_ERR_TKT_NYV, "the ticket of %s is postdated and was not validated", a.part.client)
	}
	if a.part.start.Sub(a.now) > skew {
		return krbErrorf(kink.KRB_AP_ERR_TKT_NYV, "the ticket of %s begins at %s", a.part.client, stamp(a.part.start))
	}
	if a.now.Sub(a.part.end) > skew {
		return krbErrorf(kink.KRB_AP_ERR_TKT_EXPIRED, "the ticket of %s ended at %s", a.part.client, stamp(a.part.end))
	}
	return nil
}

func (a *acceptance) session() *serverSession {
	peer := a.part.client.String()
	return &serverSession{
		session: session{
			key: a.part.key, local: a.account.name, peer: peer,
			end:        a.part.end.Add(-a.offset),
			userToUser: a.req.options&apUseSessionKey != 0,
			shortPRF:   a.h.conf.PRF16, rand: a.h.rand,
		},
		at: a.auth.time, offset: a.offset, replays: a.h.replays,
		entry: keyOf(a.account.name, peer, a.auth.time, a.req.authenticator.cipher),
	}
}
