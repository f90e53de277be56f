package kerberos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"

	"racoon2/kink"
)

// KDC carries one request to a KDC of a realm and brings the answer, which may be a
// KRB-ERROR. ctx bounds the whole; realm is one of this package's principals' or on
// the way to a peer's. The answer is not authentic.
type KDC interface {
	Exchange(ctx context.Context, realm string, request []byte) (reply []byte, err error)
}

// exchange sends a request and tells a reply with tag from an error message.
func (h *Host) exchange(ctx context.Context, realm string, tag int, request []byte) (kdcReply, *errorMessage, error) {
	if h.conf.KDC == nil {
		return kdcReply{}, nil, errors.New("no KDC is configured")
	}
	octets, err := h.conf.KDC.Exchange(ctx, realm, request)
	if err != nil {
		return kdcReply{}, nil, err
	}
	if len(octets) > 0 && octets[0] == byte(applicationTag(tagKRBError)) {
		m, err := decodeKRBError(octets)
		if err != nil {
			return kdcReply{}, nil, fmt.Errorf("an error from the KDC of %s: %w", realm, err)
		}
		return kdcReply{}, &m, nil
	}
	r, err := decodeKDCReply(tag, octets)
	if err != nil {
		return r, nil, fmt.Errorf("the reply of the KDC of %s: %w", realm, err)
	}
	if err := h.checkPart("reply of the KDC of "+realm, r.part); err != nil {
		return r, nil, err
	}
	return r, nil, nil
}

// nonce is a random number below 2³¹.
func nonce(rand io.Reader) (uint32, error) {
	var b [4]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return 0, fmt.Errorf("no randomness for a nonce: %w", err)
	}
	return binary.BigEndian.Uint32(b[:]) >> 1, nil
}

// asExchange gets a TGT with a key of the keytab (RFC 4120 §3.1). The first request
// goes without pre-authentication: the KDC's refusal brings its clock and the
// encryption type that it wants.
func (h *Host) asExchange(ctx context.Context, now time.Time, rand io.Reader, a *account) (*tgtState, error) {
	keys := h.file.get(now)
	p := a.principal
	etypes := keys.etypes(p, h.conf.ETypes)
	if len(etypes) == 0 {
		return nil, h.noKey(keys, p)
	}
	clock := now.Add(h.offset(p.Realm))
	var pa types.PADataSequence
	for try := 0; ; try++ {
		tgt, failure, err := h.asRequest(ctx, now, clock, rand, a, keys, etypes, pa)
		if err != nil || failure == nil {
			return tgt, err
		}
		code := failure.code
		if try == 2 || code != kdcErrPreauthRequired && code != kink.KRB_AP_ERR_SKEW {
			return nil, kdcError(p.Realm, *failure, p.String()+explainAS(code))
		}
		// Not authentic, and good enough for a try: the KDC's word under the key comes with the reply.
		if clock.Sub(failure.stime).Abs() > time.Second {
			clock = failure.stime
		}
		if pa, err = preauthenticate(rand, clock, keys, p, etypes, failure.data); err != nil {
			return nil, err
		}
	}
}

// explainAS adds what an operator can do about an error.
func explainAS(code kink.KRBCode) string {
	switch code {
	case kdcErrCPrincipalUnknown:
		return " (the KDC does not know this host's principal)"
	case kdcErrPreauthFailed:
		return " (the keytab has another key than the KDC: extract it again)"
	case kdcErrETypeNoSupp:
		return " (the KDC has no key of a type that is configured and in the keytab)"
	case kink.KRB_AP_ERR_SKEW:
		return " (the clocks differ)"
	}
	return ""
}

func (h *Host) noKey(keys keytab, p Principal) error {
	switch {
	case h.file.failure() != nil:
		return krbErrorf(kink.KRB_AP_ERR_NOKEY, "the keytab cannot be read: %v", h.file.failure())
	case len(keys.kvnos(p)) == 0:
		return krbErrorf(kink.KRB_AP_ERR_NOKEY, "the keytab has no key of %s", p)
	}
	return krbErrorf(kink.KRB_AP_ERR_NOKEY, "the keytab has no key of %s with a configured type: %s", p, etypeNames(h.conf.ETypes))
}

// preauthenticate makes PA-ENC-TIMESTAMP (RFC 4120 §5.2.7.2) with the first type that the
// KDC names and the keytab has.
func preauthenticate(rand io.Reader, clock time.Time, keys keytab, p Principal, etypes []EType, data []byte) (types.PADataSequence, error) {
	wanted := etypes
	if named, err := decodePreauth(data); err == nil && len(named) > 0 {
		wanted = named
	}
	for _, t := range wanted {
		if !slices.Contains(etypes, t) {
			continue
		}
		stampOctets, err := encodeTimestamp(clock)
		if err != nil {
			return nil, err
		}
		part, err := seal(keys.keys(p, t)[0].key, usagePAEncTimestamp, rand, stampOctets)
		if err != nil {
			return nil, err
		}
		lib := part.lib()
		value, err := marshal("PA-ENC-TIMESTAMP", &lib)
		return types.PADataSequence{{PADataType: paEncTimestamp, PADataValue: value}}, err
	}
	return nil, krbErrorf(kdcErrETypeNoSupp, "the KDC wants %s to prove its key with %s; the keytab has %s", p, etypeNames(wanted), etypeNames(etypes))
}

// asRequest is one request and its reply.
func (h *Host) asRequest(ctx context.Context, now, clock time.Time, rand io.Reader, a *account, keys keytab, etypes []EType, pa types.PADataSequence) (*tgtState, *errorMessage, error) {
	p := a.principal
	n, err := nonce(rand)
	if err != nil {
		return nil, nil, err
	}
	req := kdcRequest{
		client: &p, service: tgs(p.Realm, p.Realm), nonce: n, etypes: etypes,
		till: clock.Add(h.conf.Lifetime),
	}
	octets, err := req.asReq(pa)
	if err != nil {
		return nil, nil, err
	}
	r, failure, err := h.exchange(ctx, p.Realm, tagASRep, octets)
	if err != nil || failure != nil {
		return nil, failure, err
	}
	part, err := h.openASReply(keys, p, r)
	if err != nil {
		return nil, nil, err
	}
	// The clock that the reply is held against is the KDC's own: the
	// reply is fresh by its nonce, and authentic.
	if err := checkReply(req, p, r, part, part.auth, h.conf.Skew); err != nil {
		return nil, nil, fmt.Errorf("the reply of the KDC of %s: %w", p.Realm, err)
	}
	if !part.service.Equal(req.service) {
		return nil, nil, fmt.Errorf("the KDC of %s gave a ticket for %s", p.Realm, part.service)
	}
	h.setOffset(p.Realm, part.auth.Sub(now.Truncate(time.Second)))
	return &tgtState{raw: r.raw, service: part.service, key: part.key, start: part.start, end: part.end}, nil, nil
}

func (h *Host) openASReply(keys keytab, p Principal, r kdcReply) (kdcPart, error) {
	for _, e := range keys.keys(p, r.part.etype) {
		if r.part.kvno != 0 && !e.matches(r.part.kvno) {
			continue
		}
		plain, err := r.part.open(e.key, usageASRepPart)
		if err != nil {
			continue
		}
		part, err := decodeKDCPart(plain)
		clear(plain)
		return part, err
	}
	return kdcPart{}, krbErrorf(kink.KRB_AP_ERR_BAD_INTEGRITY,
		"the reply of the KDC of %s is under %v key version %d of %s; the keytab has versions %v, and none of them decrypts it", p.Realm, r.part.etype, r.part.kvno, p, keys.kvnos(p))
}
