package kerberos

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"racoon2/kink"
)

// KDC options (RFC 4120 §5.4.1).
const kdcEncTktInSkey = 1 << (31 - 28)

// Pre-authentication data (RFC 4120 §7.5.2).
const (
	paTGSReq       = 1
	paEncTimestamp = 2
	paETypeInfo2   = 19
)

// kdcRequest is the body of an AS-REQ or TGS-REQ (RFC 4120 §5.4.1).
type kdcRequest struct {
	options    uint32
	client     *Principal // AS-REQ alone
	service    Principal  // its realm is that of the KDC
	till       time.Time
	nonce      uint32 // below 2³¹: some KDCs take no more
	etypes     []EType
	additional []byte // DER of a Ticket
}

func (r kdcRequest) body() ([]byte, error) {
	return encodeSequence(func(e encoder) {
		e.flags(0, r.options)
		if r.client != nil {
			e.name(1, r.client.Name, ntPrincipal)
		}
		e.text(2, r.service.Realm)
		kind := int64(ntPrincipal)
		if r.service.tgsRealm() != "" {
			kind = ntServiceInst
		}
		e.name(3, r.service.Name, kind)
		e.time(5, r.till)
		e.integer(7, int64(r.nonce))
		e.field(8, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, t := range r.etypes {
					b.AddASN1Int64(int64(t))
				}
			})
		})
		if r.additional != nil {
			e.field(11, func(b *cryptobyte.Builder) { addList(b, [][]byte{r.additional}) })
		}
	})
}

// padata is one element of PA-DATA.
type padata struct {
	kind  int32
	value []byte
}

// encodeKDCReq makes an AS-REQ or TGS-REQ around a body.
func encodeKDCReq(tag int, body []byte, pa []padata) ([]byte, error) {
	return encode(tag, func(e encoder) {
		e.integer(1, version)
		e.integer(2, int64(tag))
		if len(pa) > 0 {
			e.field(3, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					for _, p := range pa {
						b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
							e := encoder{b}
							e.integer(1, int64(p.kind))
							e.octets(2, p.value)
						})
					}
				})
			})
		}
		e.raw(4, body)
	})
}

// kdcReply is an AS-REP or TGS-REP (RFC 4120 §5.4.2).
type kdcReply struct {
	client Principal
	ticket ticketMessage
	part   encryptedData
}

func decodeKDCReply(tag int, octets []byte) (kdcReply, error) {
	var r kdcReply
	if len(octets) > maxMessage {
		return r, errTooLong
	}
	d := application("KDC-REP", tag, octets, false)
	if v := d.integer(0, "pvno"); v != version {
		d.failf("pvno is %d, not 5", v)
	}
	if v := d.integer(1, "msg-type"); v != int64(tag) {
		d.failf("msg-type is %d, not %d", v, tag)
	}
	d.skip(2)
	r.client.Realm = d.text(3, "crealm")
	r.client.Name = d.name(4, "cname")
	raw := d.field(5, "ticket")
	r.part = d.encrypted(6, "enc-part")
	if d.err != nil {
		return r, d.err
	}
	var err error
	r.ticket, err = decodeTicket(raw)
	return r, err
}

// kdcPart is what KINK needs of an EncKDCRepPart (RFC 4120 §5.4.2).
type kdcPart struct {
	key        *Key
	nonce      uint32
	flags      uint32
	auth       time.Time
	start, end time.Time
	service    Principal
}

// decodeKDCPart takes either tag: old KDCs use that of a TGS-REP in an AS-REP (RFC
// 4120 §5.4.2).
func decodeKDCPart(octets []byte) (kdcPart, error) {
	var p kdcPart
	tag := tagEncASRepPart
	if len(octets) > 0 && octets[0] == byte(applicationTag(tagEncTGSRepPart)) {
		tag = tagEncTGSRepPart
	}
	d := application("EncKDCRepPart", tag, octets, true)
	p.key = d.sessionKey(0, "key")
	d.field(1, "last-req")
	p.nonce = d.unsigned(2, "nonce")
	d.skip(3)
	p.flags = d.flags(4, "flags")
	p.auth = d.time(5, "authtime")
	p.start = p.auth
	if d.has(6) {
		p.start = d.time(6, "starttime")
	}
	p.end = d.time(7, "endtime")
	d.skip(8)
	p.service.Realm = d.text(9, "srealm")
	p.service.Name = d.name(10, "sname")
	return p, d.err
}

// decodePreauth reads the e-data of KDC_ERR_PREAUTH_REQUIRED, a METHOD-DATA, for the
// encryption types of PA-ETYPE-INFO2 (RFC 4120 §5.2.7.5). Salts do not matter: keys
// come from a keytab.
func decodePreauth(octets []byte) ([]EType, error) {
	var out []EType
	outer := &decoder{what: "METHOD-DATA"}
	outer.eachOf(octets, "METHOD-DATA", 64, func(s cryptobyte.String) {
		d := sequence("PA-DATA", s)
		kind := d.number(1, "padata-type")
		value := d.octets(2, "padata-value")
		outer.take(d)
		if kind != paETypeInfo2 || outer.err != nil {
			return
		}
		outer.eachOf(value, "ETYPE-INFO2", 64, func(s cryptobyte.String) {
			d := sequence("ETYPE-INFO2-ENTRY", s)
			out = append(out, EType(d.number(0, "etype")))
			outer.take(d)
		})
	})
	return out, outer.err
}

// encodeTimestamp is PA-ENC-TS-ENC (RFC 4120 §5.2.7.2).
func encodeTimestamp(at time.Time) ([]byte, error) {
	return encodeSequence(func(e encoder) {
		e.time(0, at)
		e.microseconds(1, at)
	})
}

// encodeEncrypted is an EncryptedData by itself.
func encodeEncrypted(v encryptedData) ([]byte, error) {
	return encodeSequence(func(e encoder) {
		e.integer(0, int64(v.etype))
		if v.hasKVN {
			e.integer(1, int64(v.kvno))
		}
		e.octets(2, v.cipher)
	})
}

// checkReply holds a decrypted reply against its request (RFC 4120 §3.1.5, §3.3.4).
// service is checked by the caller, as a referral may name another.
func checkReply(req kdcRequest, client Principal, r kdcReply, p kdcPart, now time.Time, skew time.Duration) error {
	switch {
	case p.nonce != req.nonce:
		return errors.New("the reply answers another request: its nonce differs")
	case !r.client.Equal(client):
		return fmt.Errorf("the reply is for %s, not %s", r.client, client)
	case !r.ticket.service.Equal(p.service):
		return fmt.Errorf("the ticket is for %s, and the reply says %s", r.ticket.service, p.service)
	case !slices.Contains(req.etypes, p.key.etype):
		return fmt.Errorf("the session key is of %v; asked for were %s", p.key.etype, etypeNames(req.etypes))
	case p.start.Sub(now) > skew:
		return fmt.Errorf("the ticket begins at %s", stamp(p.start))
	case !p.end.After(now.Add(-skew)):
		return fmt.Errorf("the ticket ended at %s", stamp(p.end))
	}
	return nil
}

// kdcError is an error of a KDC as kink wants it. The text is the KDC's; the code is
// named where kink does not know its name.
func kdcError(realm string, m errorMessage, what string) *kink.KRBError {
	e := krbErrorf(m.code, "the KDC of %s, asked for %s", realm, what)
	if name := codeName(m.code); name != m.code.String() {
		e.Reason = name + " from " + e.Reason
	}
	if m.text != "" {
		e.Reason += ": " + m.text
	}
	return e
}
