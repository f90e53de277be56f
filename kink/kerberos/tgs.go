package kerberos

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"

	"racoon2/kink"
)

// maxHops bounds the realms between this host's and the peer's.
const maxHops = 8

// tgsExchange asks the KDC that tgt is for for a ticket (RFC 4120 §3.3). under is the TGT of a
// peer, for a user-to-user ticket (RFC 4120 §3.7), nil otherwise.
func (h *Host) tgsExchange(ctx context.Context, now time.Time, rand io.Reader, a *account, tgt *tgtState, service Principal, under []byte) (kdcReply, kdcPart, error) {
	var none kdcPart
	clock := now.Add(h.offset(a.principal.Realm))
	n, err := nonce(rand)
	if err != nil {
		return kdcReply{}, none, err
	}
	req := kdcRequest{service: service, nonce: n, etypes: h.conf.ETypes, additional: under, till: tgt.end}
	if under != nil {
		req.options |= kdcEncTktInSkey
	}
	body, err := req.body()
	if err != nil {
		return kdcReply{}, none, err
	}
	proof, err := tgsProof(rand, clock, a.principal, tgt, body)
	if err != nil {
		return kdcReply{}, none, err
	}
	octets, err := req.tgsReq(types.PADataSequence{{PADataType: paTGSReq, PADataValue: proof}})
	if err != nil {
		return kdcReply{}, none, err
	}
	r, failure, err := h.exchange(ctx, service.Realm, tagTGSRep, octets)
	if err != nil {
		return r, none, err
	}
	if failure != nil {
		return r, none, kdcError(service.Realm, *failure, service.String())
	}
	plain, err := r.part.open(tgt.key, usageTGSRepSessionKey)
	if err != nil {
		return r, none, fmt.Errorf("the reply of the KDC of %s: %w", service.Realm, err)
	}
	defer clear(plain)
	part, err := decodeKDCPart(plain)
	if err == nil {
		err = checkReply(req, a.principal, r, part, clock, h.conf.Skew)
	}
	if err != nil {
		return r, none, fmt.Errorf("the reply of the KDC of %s: %w", service.Realm, err)
	}
	return r, part, nil
}

// tgsProof is the AP-REQ of PA-TGS-REQ, whose authenticator has a checksum of the body
// (RFC 4120 §5.2.7.1).
func tgsProof(rand io.Reader, clock time.Time, client Principal, tgt *tgtState, body []byte) ([]byte, error) {
	sum, err := tgt.key.Checksum(usageTGSReqSum, body)
	if err != nil {
		return nil, err
	}
	plain, err := authenticator{client: client, time: clock, sum: sum, sumType: tgt.key.suite.sumType()}.encode()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	part, err := seal(tgt.key, usageTGSReqAuth, rand, plain)
	if err != nil {
		return nil, err
	}
	ticket, err := decodeTicket(tgt.raw)
	if err != nil {
		return nil, err
	}
	return apReq{ticket: ticket, authenticator: part}.encode()
}

// realmTGT walks to the realm's ticket-granting service. A KDC that has no key in
// common with the realm may answer with the TGT of one that is nearer (RFC 4120 §3.3.1).
func (h *Host) realmTGT(ctx context.Context, now time.Time, rand io.Reader, a *account, realm string) (*tgtState, error) {
	tgt, err := h.login(ctx, now, rand, a)
	if err != nil || realm == a.principal.Realm {
		return tgt, err
	}
	clock := now.Add(h.offset(a.principal.Realm))
	if t := a.crossTGT(clock, realm); t != nil {
		return t, nil
	}
	been := []string{a.principal.Realm}
	for at := a.principal.Realm; at != realm; {
		r, part, err := h.tgsExchange(ctx, now, rand, a, tgt, tgs(realm, at), nil)
		if err != nil {
			return nil, err
		}
		next := part.service.tgsRealm()
		if next == "" || part.service.Realm != at || slices.Contains(been, next) || len(been) == maxHops {
			return nil, krbErrorf(kdcErrPathNotAccepted, "on the way to %s the KDC of %s gave a ticket for %s", realm, at, part.service)
		}
		tgt = &tgtState{raw: r.raw, service: part.service, key: part.key, start: part.start, end: part.end}
		been, at = append(been, next), next
	}
	a.setCross(clock, realm, tgt)
	return tgt, nil
}

// serviceTicket asks for the peer's ticket.
func (h *Host) serviceTicket(ctx context.Context, now time.Time, rand io.Reader, a *account, peer Principal, under []byte) (*ticket, error) {
	tgt, err := h.realmTGT(ctx, now, rand, a, peer.Realm)
	if err != nil {
		return nil, err
	}
	r, part, err := h.tgsExchange(ctx, now, rand, a, tgt, peer, under)
	if err != nil {
		return nil, err
	}
	if !part.service.Equal(peer) {
		return nil, krbErrorf(kink.KDC_ERR_S_PRINCIPAL_UNKNOWN, "the KDC of %s gave a ticket for %s instead of %s", peer.Realm, part.service, peer)
	}
	return &ticket{
		session: session{
			key: part.key, local: a.name, peer: peer.String(),
			end:        part.end.Add(-h.offset(a.principal.Realm)),
			userToUser: under != nil, shortPRF: h.conf.PRF16, rand: h.rand,
		},
		host: h, client: a.principal, raw: r.raw, under: slices.Clone(under),
	}, nil
}

// checkPeerTGT looks at what can be seen of a TGT from KINK_TGT_REP: it is of the
// peer's realm and not an inter-realm one (RFC 4430 §4.2.6). That it is the peer's, the
// KDC checks.
func checkPeerTGT(octets []byte, peer Principal) error {
	t, err := decodeTicket(octets)
	if err != nil {
		return krbErrorf(kink.KRB_AP_ERR_BADMATCH, "the TGT of %s: %v", peer, err)
	}
	if !t.service.Equal(tgs(peer.Realm, peer.Realm)) {
		return krbErrorf(kink.KRB_AP_ERR_BADMATCH, "the TGT of %s is for %s, not for %s", peer, t.service, tgs(peer.Realm, peer.Realm))
	}
	return nil
}
