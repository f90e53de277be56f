package kerberos

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"racoon2/kink"
)

// AP options (RFC 4120 §5.5.1).
const (
	apUseSessionKey  = 1 << 30
	apMutualRequired = 1 << 29
)

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

// ticketMessage is a Ticket (RFC 4120 §5.3).
type ticketMessage struct {
	lib     messages.Ticket
	service Principal
	part    encryptedData
}

func ticketOf(lib messages.Ticket) (ticketMessage, error) {
	t := ticketMessage{lib: lib}
	if lib.TktVNO != version {
		return t, fmt.Errorf("tkt-vno is %d, not 5", lib.TktVNO)
	}
	var err error
	if t.service, err = principalOf("the ticket's service", lib.SName, lib.Realm); err != nil {
		return t, err
	}
	t.part, err = encryptedOf("the ticket", lib.EncPart)
	return t, err
}

// decodeTicket reads a ticket that goes out again. gokrb5 keeps no octets and
// writes it anew, so that a ticket that would not come out the same is refused: the
// one whom it is for could not read it.
func decodeTicket(octets []byte) (ticketMessage, error) {
	if err := whole("Ticket", tagTicket, octets); err != nil {
		return ticketMessage{}, err
	}
	var lib messages.Ticket
	if err := unmarshal("the Ticket", &lib, octets); err != nil {
		return ticketMessage{}, err
	}
	t, err := ticketOf(lib)
	if err != nil {
		return t, err
	}
	again, err := t.encode()
	if err == nil && !bytes.Equal(again, octets) {
		err = fmt.Errorf("the ticket for %s is not in DER, or has fields that are not known", t.service)
	}
	return t, err
}

func (t ticketMessage) encode() ([]byte, error) { return marshal("the Ticket", &t.lib) }

// apReq is an AP-REQ (RFC 4120 §5.5.1).
type apReq struct {
	options       uint32
	ticket        ticketMessage
	authenticator encryptedData
}

func decodeAPReq(octets []byte) (apReq, error) {
	var r apReq
	var lib messages.APReq
	err := whole("AP-REQ", tagAPReq, octets)
	if err == nil {
		err = unmarshal("the AP-REQ", &lib, octets)
	}
	if err == nil {
		r.authenticator, err = encryptedOf("the authenticator", lib.EncryptedAuthenticator)
	}
	if err != nil {
		return r, krbErrorf(kink.KRB_AP_ERR_MSG_TYPE, "%w", err)
	}
	if lib.PVNO != version {
		return r, krbErrorf(kink.KRB_AP_ERR_BADVERSION, "pvno is %d, not 5", lib.PVNO)
	}
	r.options = flagBits(lib.APOptions.Bytes)
	if r.ticket, err = ticketOf(lib.Ticket); err != nil {
		return r, krbErrorf(kink.KRB_AP_ERR_BADVERSION, "%w", err)
	}
	return r, nil
}

func (r apReq) encode() ([]byte, error) {
	lib := messages.APReq{
		PVNO: version, MsgType: tagAPReq, APOptions: types.NewKrbFlags(),
		Ticket: r.ticket.lib, EncryptedAuthenticator: r.authenticator.lib(),
	}
	binary.BigEndian.PutUint32(lib.APOptions.Bytes, r.options)
	return marshal("the AP-REQ", &lib)
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
	var lib types.Authenticator
	err := unmarshal("the Authenticator", &lib, octets)
	defer clear(lib.SubKey.KeyValue)
	if err != nil {
		return a, err
	}
	if lib.AVNO != version {
		return a, fmt.Errorf("authenticator-vno is %d, not 5", lib.AVNO)
	}
	if a.client, err = principalOf("the client", lib.CName, lib.CRealm); err != nil {
		return a, err
	}
	if a.time, err = moment("ctime", lib.CTime, lib.Cusec); err != nil {
		return a, err
	}
	return a, checkAuthorization(lib.AuthorizationData)
}

func (a authenticator) encode() ([]byte, error) {
	lib := types.Authenticator{
		AVNO: version, CRealm: a.client.Realm, CName: nameOf(a.client, ntPrincipal),
		Cksum: types.Checksum{CksumType: a.sumType, Checksum: a.sum},
		CTime: a.time.UTC(), Cusec: microseconds(a.time),
	}
	return marshal("the Authenticator", &lib)
}
