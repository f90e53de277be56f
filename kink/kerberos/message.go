package kerberos

import (
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"racoon2/kink"
)

// APPLICATION tags, which are the message types too (RFC 4120 §5.10).
const (
	tagTicket        = 1
	tagAuthenticator = 2
	tagEncTicketPart = 3
	tagASReq         = 10
	tagASRep         = 11
	tagTGSReq        = 12
	tagTGSRep        = 13
	tagAPReq         = 14
	tagAPRep         = 15
	tagEncASRepPart  = 25
	tagEncTGSRepPart = 26
	tagEncAPRepPart  = 27
	tagKRBError      = 30
)

const (
	version = 5 // pvno, tkt-vno, authenticator-vno

	// maxMessage bounds what is taken apart: a KINK message is shorter than 64 KiB
	// (RFC 4430 §4.1), and no KDC sends more than that.
	maxMessage = 1<<16 - 1
)

// AP options (RFC 4120 §5.5.1).
const (
	apUseSessionKey  = 1 << 30
	apMutualRequired = 1 << 29
)

// encryptedData is EncryptedData (RFC 4120 §5.2.9).
type encryptedData struct {
	etype  EType
	kvno   uint32
	hasKVN bool // a user-to-user ticket has no kvno
	cipher []byte
}

func (d *decoder) encrypted(n int, field string) encryptedData {
	inner := sequence(field, d.field(n, field))
	var out encryptedData
	out.etype = EType(inner.number(0, "etype"))
	if inner.has(1) {
		out.kvno, out.hasKVN = inner.unsigned(1, "kvno"), true
	}
	out.cipher = inner.octets(2, "cipher")
	d.take(inner)
	return out
}

func (e encoder) encrypted(n int, v encryptedData) {
	e.sequence(n, func(e encoder) {
		e.integer(0, int64(v.etype))
		if v.hasKVN {
			e.integer(1, int64(v.kvno))
		}
		e.octets(2, v.cipher)
	})
}

// seal encrypts one part of a message.
func seal(k *Key, usage uint32, rand io.Reader, plain []byte) (encryptedData, error) {
	c, err := k.Encrypt(usage, rand, plain)
	return encryptedData{etype: k.etype, cipher: c}, err
}

// open decrypts one part of a message.
func (v encryptedData) open(k *Key, usage uint32) ([]byte, error) {
	if v.etype != k.etype {
		return nil, fmt.Errorf("it is encrypted with %v, and the key is of %v", v.etype, k.etype)
	}
	return k.Decrypt(usage, v.cipher)
}

// ticketMessage is a Ticket (RFC 4120 §5.3). raw is the DER as it came, and goes out
// again as it came.
type ticketMessage struct {
	raw     []byte
	service Principal
	part    encryptedData
}

func decodeTicket(octets []byte) (ticketMessage, error) {
	t := ticketMessage{raw: octets}
	if len(octets) > maxMessage {
		return t, fmt.Errorf("a ticket of %d octets is too long", len(octets))
	}
	d := application("Ticket", tagTicket, octets, false)
	if v := d.integer(0, "tkt-vno"); v != version {
		d.failf("tkt-vno is %d, not 5", v)
	}
	t.service.Realm = d.text(1, "realm")
	t.service.Name = d.name(2, "sname")
	t.part = d.encrypted(3, "enc-part")
	if d.err == nil {
		d.err = t.service.check()
	}
	return t, d.err
}

// apReq is an AP-REQ (RFC 4120 §5.5.1).
type apReq struct {
	options       uint32
	ticket        ticketMessage
	authenticator encryptedData
}

func decodeAPReq(octets []byte) (apReq, error) {
	var r apReq
	if len(octets) > maxMessage {
		return r, krbErrorf(kink.KRB_ERR_GENERIC, "an AP-REQ of %d octets is too long", len(octets))
	}
	d := application("AP-REQ", tagAPReq, octets, false)
	pvno, kind := d.integer(0, "pvno"), d.integer(1, "msg-type")
	if d.err != nil {
		return r, krbErrorf(kink.KRB_AP_ERR_MSG_TYPE, "%v", d.err)
	}
	if pvno != version {
		return r, krbErrorf(kink.KRB_AP_ERR_BADVERSION, "pvno is %d, not 5", pvno)
	}
	if kind != tagAPReq {
		return r, krbErrorf(kink.KRB_AP_ERR_MSG_TYPE, "msg-type is %d, not 14", kind)
	}
	r.options = d.flags(2, "ap-options")
	ticket := d.field(3, "ticket")
	r.authenticator = d.encrypted(4, "authenticator")
	if d.err != nil {
		return r, krbErrorf(kink.KRB_AP_ERR_MSG_TYPE, "%v", d.err)
	}
	var err error
	if r.ticket, err = decodeTicket(ticket); err != nil {
		return r, krbErrorf(kink.KRB_AP_ERR_BADVERSION, "%v", err)
	}
	return r, nil
}

func (r apReq) encode() ([]byte, error) {
	return encode(tagAPReq, func(e encoder) {
		e.integer(0, version)
		e.integer(1, tagAPReq)
		e.flags(2, r.options)
		e.raw(3, r.ticket.raw)
		e.encrypted(4, r.authenticator)
	})
}

// authenticator is an Authenticator (RFC 4120 §5.5.1), without subkey and sequence
// number: KINK uses neither (RFC 4430 §7).
type authenticator struct {
	client  Principal
	sumType int32 // with sum; only towards a KDC
	sum     []byte
	time    time.Time // ctime and cusec
}

func decodeAuthenticator(octets []byte) (authenticator, error) {
	var a authenticator
	d := application("Authenticator", tagAuthenticator, octets, true)
	if v := d.integer(0, "authenticator-vno"); v != version {
		d.failf("authenticator-vno is %d, not 5", v)
	}
	a.client.Realm = d.text(1, "crealm")
	a.client.Name = d.name(2, "cname")
	d.skip(3)
	micro := d.microseconds(4, "cusec")
	a.time = d.time(5, "ctime").Add(micro)
	d.skip(6)
	d.skip(7)
	d.authorization(8)
	return a, d.err
}

func (a authenticator) encode() ([]byte, error) {
	return encode(tagAuthenticator, func(e encoder) {
		e.integer(0, version)
		e.text(1, a.client.Realm)
		e.name(2, a.client.Name, ntPrincipal)
		if a.sum != nil {
			e.sequence(3, func(e encoder) {
				e.integer(0, int64(a.sumType))
				e.octets(1, a.sum)
			})
		}
		e.microseconds(4, a.time)
		e.time(5, a.time)
	})
}

// Authorization data that may be passed over: what is if-relevant, and what is for
// KDCs alone (RFC 4120 §5.2.6.1, §5.2.6.4).
const (
	adIfRelevant      = 1
	adMandatoryForKDC = 8
)

// authorization looks at the types of optional AuthorizationData. It never looks into
// the data: a PAC is none of KINK's business. An element that is neither if-relevant
// nor for KDCs makes the authentication fail (RFC 4120 §5.2.6, MUST).
func (d *decoder) authorization(n int) {
	if !d.has(n) {
		return
	}
	d.each(n, "authorization-data", 64, func(s cryptobyte.String) {
		inner := sequence("authorization-data", s)
		kind := inner.number(0, "ad-type")
		inner.octets(1, "ad-data")
		d.take(inner)
		if kind != adIfRelevant && kind != adMandatoryForKDC {
			d.failf("authorization data of type %d must be understood, and is not", kind)
		}
	})
}

// sessionKey is an EncryptionKey (RFC 4120 §5.2.9).
func (d *decoder) sessionKey(n int, field string) *Key {
	inner := sequence(field, d.field(n, field))
	etype := EType(inner.number(0, "keytype"))
	value := inner.octets(1, "keyvalue")
	d.take(inner)
	if d.err != nil {
		return nil
	}
	k, err := NewKey(etype, value)
	if err != nil {
		d.failf("%s: %w", field, err)
	}
	return k
}

func (e encoder) sessionKey(n int, k *Key) {
	e.sequence(n, func(e encoder) {
		e.integer(0, int64(k.etype))
		e.octets(1, k.value)
	})
}

// addList adds a list of encoded elements as a SEQUENCE OF.
func addList(b *cryptobyte.Builder, list [][]byte) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, element := range list {
			b.AddBytes(element)
		}
	})
}
