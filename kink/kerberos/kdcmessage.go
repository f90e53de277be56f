package kerberos

import (
	"bytes"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

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

// kdcRequest is an AS-REQ or TGS-REQ (RFC 4120 §5.4.1). gokrb5's functions that make one
// take time and nonce from the system, and ask for addresses, renewal and old
// encryption types; its types encode.
type kdcRequest struct {
	options    uint32
	client     *Principal // AS-REQ alone
	service    Principal  // its realm is that of the KDC
	till       time.Time
	nonce      uint32 // below 2³¹: some KDCs take no more
	etypes     []EType
	additional []byte // DER of a Ticket
}

func (r kdcRequest) lib() (messages.KDCReqBody, error) {
	kind := int32(ntPrincipal)
	if r.service.tgsRealm() != "" {
		kind = ntServiceInst
	}
	b := messages.KDCReqBody{
		KDCOptions: types.NewKrbFlags(), Realm: r.service.Realm, SName: nameOf(r.service, kind),
		Till: r.till.UTC(), Nonce: int(r.nonce),
	}
	binary.BigEndian.PutUint32(b.KDCOptions.Bytes, r.options)
	if r.client != nil {
		b.CName = nameOf(*r.client, ntPrincipal)
	}
	for _, e := range r.etypes {
		b.EType = append(b.EType, int32(e))
	}
	if r.additional != nil {
		t, err := decodeTicket(r.additional)
		if err != nil {
			return b, err
		}
		b.AdditionalTickets = []messages.Ticket{t.lib}
	}
	return b, nil
}

// body is the DER of the body, which the checksum of a TGS-REQ is over.
func (r kdcRequest) body() ([]byte, error) {
	b, err := r.lib()
	if err != nil {
		return nil, err
	}
	return marshal("the request's body", &b)
}

// asReq and tgsReq are the whole messages.
func (r kdcRequest) asReq(pa types.PADataSequence) ([]byte, error) {
	b, err := r.lib()
	if err != nil {
		return nil, err
	}
	return marshal("the AS-REQ", &messages.ASReq{KDCReqFields: messages.KDCReqFields{PVNO: version, MsgType: 10, PAData: pa, ReqBody: b}})
}

func (r kdcRequest) tgsReq(pa types.PADataSequence) ([]byte, error) {
	b, err := r.lib()
	if err != nil {
		return nil, err
	}
	return marshal("the TGS-REQ", &messages.TGSReq{KDCReqFields: messages.KDCReqFields{PVNO: version, MsgType: 12, PAData: pa, ReqBody: b}})
}

// kdcReply is an AS-REP or TGS-REP (RFC 4120 §5.4.2).
type kdcReply struct {
	client Principal
	ticket ticketMessage
	raw    []byte // DER of the ticket
	part   encryptedData
}

func decodeKDCReply(tag int, octets []byte) (kdcReply, error) {
	var r kdcReply
	var as messages.ASRep
	var tgs messages.TGSRep
	err := whole("KDC-REP", tag, octets)
	fields := &as.KDCRepFields
	switch {
	case err != nil:
	case tag == tagASRep:
		err = unmarshal("the AS-REP", &as, octets)
	default:
		err = unmarshal("the TGS-REP", &tgs, octets)
		fields = &tgs.KDCRepFields
	}
	if err != nil {
		return r, err
	}
	if fields.PVNO != version {
		return r, fmt.Errorf("pvno is %d, not 5", fields.PVNO)
	}
	if r.client, err = principalOf("the client", fields.CName, fields.CRealm); err != nil {
		return r, err
	}
	if r.part, err = encryptedOf("enc-part", fields.EncPart); err != nil {
		return r, err
	}
	if r.ticket, err = ticketOf(fields.Ticket); err != nil {
		return r, err
	}
	// As in decodeTicket: what gokrb5 will write is what stands in the reply.
	if r.raw, err = r.ticket.encode(); err == nil && !bytes.Contains(octets, r.raw) {
		err = fmt.Errorf("the ticket for %s is not in DER, or has fields that are not known", r.ticket.service)
	}
	return r, err
}

// kdcPart is what KINK needs of an EncKDCRepPart (RFC 4120 §5.4.2).
type kdcPart struct {
	key        *Key
	nonce      uint32
	auth       time.Time
	start, end time.Time
	service    Principal
}

// decodeKDCPart takes either tag, as gokrb5 does: old KDCs use that of a TGS-REP in an
// AS-REP (RFC 4120 §5.4.2).
func decodeKDCPart(octets []byte) (kdcPart, error) {
	var p kdcPart
	var lib messages.EncKDCRepPart
	err := unmarshal("the EncKDCRepPart", &lib, octets)
	if err != nil {
		return p, err
	}
	if p.key, err = sessionKeyOf("the session key", lib.Key); err != nil {
		return p, err
	}
	if int64(lib.Nonce) < -1<<31 || int64(lib.Nonce) >= 1<<32 {
		return p, fmt.Errorf("nonce %d", lib.Nonce)
	}
	p.nonce = uint32(lib.Nonce)
	p.auth, p.start, p.end = lib.AuthTime.UTC(), startOf(lib.StartTime, lib.AuthTime), lib.EndTime.UTC()
	p.service, err = principalOf("the service", lib.SName, lib.SRealm)
	return p, err
}

// decodePreauth reads the e-data of KDC_ERR_PREAUTH_REQUIRED, a METHOD-DATA, for the
// encryption types of PA-ETYPE-INFO2 (RFC 4120 §5.2.7.5). Salts do not matter: keys
// come from a keytab.
func decodePreauth(octets []byte) ([]EType, error) {
	var out []EType
	var list types.PADataSequence
	if err := unmarshal("METHOD-DATA", &list, octets); err != nil {
		return nil, err
	}
	if len(list) > maxList {
		return nil, fmt.Errorf("%d elements of METHOD-DATA", len(list))
	}
	for _, pa := range list {
		if pa.PADataType != paETypeInfo2 {
			continue
		}
		var info types.ETypeInfo2
		if err := unmarshal("ETYPE-INFO2", &info, pa.PADataValue); err != nil {
			return nil, err
		}
		if len(info) > maxList {
			return nil, fmt.Errorf("%d elements of ETYPE-INFO2", len(info))
		}
		for _, entry := range info {
			out = append(out, EType(entry.EType))
		}
	}
	return out, nil
}

// encodeTimestamp is PA-ENC-TS-ENC (RFC 4120 §5.2.7.2). gokrb5's function takes the
// system's time; its type is plain DER, for encoding/asn1.
func encodeTimestamp(at time.Time) ([]byte, error) {
	return asn1.Marshal(types.PAEncTSEnc{PATimestamp: at.UTC(), PAUSec: microseconds(at)})
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
