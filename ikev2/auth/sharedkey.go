// Package auth computes and checks AUTH payloads (RFC 7296 §2.15). It owns the
// octets that an end of an IKE SA authenticates and the shared-key method over
// them; it never sees a message on the wire, never chooses an identity and
// keeps no secret after a call.
//
// Known limit: authentication method 2 (Shared Key Message Integrity Code) is
// the only one.
package auth

import (
	"crypto/subtle"

	"racoon2/ikev2/transform"
)

// keyPad is the constant of RFC 7296 §2.15, 17 ASCII octets without a terminator.
const keyPad = "Key Pad for IKEv2"

// Signed is what one end authenticates: InitiatorSignedOctets or
// ResponderSignedOctets of RFC 7296 §2.15.
type Signed struct {
	Message   []byte // that end's IKE_SA_INIT message, from the first SPI octet on
	PeerNonce []byte // the nonce of the other end
	SKp       []byte // SK_pi for the initiator, SK_pr for the responder
	ID        []byte // body of that end's ID payload: type, three reserved octets, data
}

// SharedKey is the AUTH value for a pre-shared key:
//
//	prf( prf(Shared Secret, "Key Pad for IKEv2"), <SignedOctets>)
func SharedKey(p transform.PseudoRandom, secret []byte, s Signed) []byte {
	padded := p.Sum(secret, []byte(keyPad))
	defer clear(padded)
	return p.Sum(padded, s.Message, s.PeerNonce, p.Sum(s.SKp, s.ID))
}

// CheckSharedKey says whether got is the AUTH value that the other end had to
// send. The comparison runs in constant time.
func CheckSharedKey(p transform.PseudoRandom, secret []byte, s Signed, got []byte) bool {
	want := SharedKey(p, secret, s)
	defer clear(want)
	return subtle.ConstantTimeCompare(want, got) == 1
}
