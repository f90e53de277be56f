package ikev2

import (
	"bytes"
	"fmt"

	"racoon2/ikev2/auth"
	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// subkeys are the three keys of an IKE SA that a post-quantum pre-shared key
// goes into (RFC 8784 §3).
type subkeys struct {
	d, pOwn, pPeer []byte
}

// withPPK computes them:
//
//	SK_d  = prf+ (PPK, SK_d')
//	SK_pi = prf+ (PPK, SK_pi')
//	SK_pr = prf+ (PPK, SK_pr')
func (k *keys) withPPK(secret []byte) *subkeys {
	mix := func(key []byte) []byte { return transform.Plus(k.prf, secret, key, len(key)) }
	return &subkeys{d: mix(k.d), pOwn: mix(k.pOwn), pPeer: mix(k.pPeer)}
}

// adopt replaces the keys that were made without the PPK.
func (k *keys) adopt(s *subkeys) {
	clear(k.d)
	clear(k.pOwn)
	clear(k.pPeer)
	k.d, k.pOwn, k.pPeer = s.d, s.pOwn, s.pPeer
}

func (s *subkeys) wipe() {
	if s != nil {
		clear(s.d)
		clear(s.pOwn)
		clear(s.pPeer)
	}
}

// offersPPK says that the other end may know a PPK: it has sent USE_PPK.
func (m *received) offersPPK() bool { return m.notification(message.USE_PPK) != nil }

// ppkPayloads are the initiator's part of IKE_AUTH where both ends have sent
// USE_PPK; plain is its AUTH value without the PPK. Where the PPK is mandatory
// that one is not sent, so that the peer cannot go on without (RFC 8784 §3).
func (p *PPK) payloads(plain []byte) []message.Payload {
	list := []message.Payload{notify(message.PPK_IDENTITY, p.ID)}
	if !p.Mandatory {
		list = append(list, notify(message.NO_PPK_AUTH, plain))
	}
	return list
}

// authValue is the AUTH value of this host in its role. key is SK_pi or SK_pr.
func (sa *ikeSA) authValue(r *Remote, key []byte) []byte {
	s := sa.setup
	signed := auth.Signed{Message: s.initResponse, PeerNonce: s.ni, SKp: key, ID: idBody(r.MyID)}
	if sa.initiator {
		signed.Message, signed.PeerNonce = s.initRequest, s.nr
	}
	return auth.SharedKey(sa.keys.prf, r.SharedKey, signed)
}

// settlePPK decides as initiator, by the answer to IKE_AUTH, whether the PPK is in
// use. why says what is missing ("" is well).
func (sa *ikeSA) settlePPK(m *received) (why string) {
	s, p := sa.setup, sa.remote.PPK
	defer func() { s.mixed = nil }()
	switch {
	case p == nil || s.mixed == nil:
		return ""
	case m.notification(message.PPK_IDENTITY) != nil:
		sa.keys.adopt(s.mixed)
		sa.ppk = true
		return ""
	}
	s.mixed.wipe()
	if p.Mandatory {
		return fmt.Sprintf("PPK: peer goes on without it; %s makes it mandatory", sa.remote.place())
	}
	return ""
}

// choosePPK decides as responder what becomes of the PPK, by table 1 of RFC 8784
// §3, and returns the AUTH payload that counts. why says what is wrong ("" is well).
func (sa *ikeSA) choosePPK(r *Remote, m *received) (authentication *message.Auth, why string) {
	authentication = find[*message.Auth](m)
	if !sa.setup.ppk {
		if r.PPK != nil && r.PPK.Mandatory {
			return nil, fmt.Sprintf("PPK: peer offers none; %s makes it mandatory", r.place())
		}
		return authentication, ""
	}
	id, plain := m.notification(message.PPK_IDENTITY), m.notification(message.NO_PPK_AUTH)
	switch {
	case id == nil:
		return nil, "PPK: peer has sent USE_PPK and then no PPK_IDENTITY"
	case r.PPK != nil && bytes.Equal(id.Data, r.PPK.ID):
		sa.keys.adopt(sa.keys.withPPK(r.PPK.Secret))
		sa.ppk = true
		return authentication, ""
	}
	known := "has none"
	if r.PPK != nil {
		known = "has " + ppkName(r.PPK.ID)
	}
	switch {
	case r.PPK != nil && r.PPK.Mandatory:
		return nil, fmt.Sprintf("PPK: peer uses %s; %s %s and makes it mandatory", ppkName(id.Data), r.place(), known)
	case plain == nil:
		return nil, fmt.Sprintf("PPK: peer uses %s and nothing else; %s %s", ppkName(id.Data), r.place(), known)
	}
	// Without the PPK, with the value that was computed without it.
	return &message.Auth{Method: authentication.Method, Data: plain.Data}, ""
}

// ppkName prints a PPK_ID (RFC 8784 §5.1: a type and then its octets).
func ppkName(id []byte) string {
	if len(id) == 0 {
		return "an empty PPK_ID"
	}
	return fmt.Sprintf("PPK_ID %d:%s", id[0], printable(id[1:]))
}
