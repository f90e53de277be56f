package transform

import (
	"crypto/cipher"
	"crypto/subtle"
)

// gmac is ENCR_NULL_AUTH_AES_GMAC: nothing is encrypted, and GCM's tag covers
// what is in front of the packet, the IV and the payload (RFC 4543 §3.3).
type gmac struct {
	aead   cipher.AEAD
	nonce  []byte // salt | IV of the packet at hand
	ivSize int
	aad    []byte // room for what the tag covers
	tag    []byte // room for it
}

func newGMAC(aead cipher.AEAD, salt []byte, ivSize int) *gmac {
	g := &gmac{aead: aead, nonce: make([]byte, aead.NonceSize()), ivSize: ivSize}
	copy(g.nonce, salt)
	return g
}

func (g *gmac) IVSize() int    { return g.ivSize }
func (g *gmac) BlockSize() int { return 1 }
func (g *gmac) ICVSize() int   { return g.aead.Overhead() }

// sum is the tag of a packet: body is IV and payload. It is valid until the next call.
func (g *gmac) sum(aad, body []byte) []byte {
	copy(g.nonce[len(g.nonce)-g.ivSize:], body)
	g.aad = append(append(g.aad[:0], aad...), body...)
	g.tag = g.aead.Seal(g.tag[:0], g.nonce, nil, g.aad)
	return g.tag
}

func (g *gmac) Seal(dst, iv, plaintext, aad, _ []byte) []byte {
	start := len(dst)
	dst = append(append(dst, iv...), plaintext...)
	return append(dst, g.sum(aad, dst[start:])...)
}

func (g *gmac) Open(packet, aad, _ []byte) ([]byte, error) {
	if len(packet) < g.ivSize+g.ICVSize() {
		return nil, ErrIntegrity
	}
	body, tag := packet[:len(packet)-g.ICVSize()], packet[len(packet)-g.ICVSize():]
	if subtle.ConstantTimeCompare(tag, g.sum(aad, body)) != 1 {
		return nil, ErrIntegrity
	}
	return body[g.ivSize:], nil
}
