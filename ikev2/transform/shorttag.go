package transform

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
)

// shortGCM is GCM with a tag of 8 octets, which the standard library refuses to
// check (RFC 4106 §6). To open, it decrypts in counter mode and seals again: the
// tag that comes out must begin with the one that came.
type shortGCM struct {
	aead cipher.AEAD
	keystream
	again []byte // room for the packet sealed again
}

// shortTag is the tag's length in octets.
const shortTag = 8

func newShortGCM(block cipher.Block) (*shortGCM, error) {
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &shortGCM{aead: aead, keystream: keystream{block: block}}, nil
}

func (g *shortGCM) NonceSize() int { return g.aead.NonceSize() }
func (g *shortGCM) Overhead() int  { return shortTag }

func (g *shortGCM) Seal(dst, nonce, plaintext, aad []byte) []byte {
	sealed := g.aead.Seal(dst, nonce, plaintext, aad)
	return sealed[:len(sealed)-g.aead.Overhead()+shortTag]
}

// errShortTag says that a tag is wrong; Cipher.Open makes ErrIntegrity of it.
var errShortTag = errors.New("GCM: wrong tag")

// Open decrypts to dst, which starts where sealed does or is apart from it. After
// an error the room holds zeros.
func (g *shortGCM) Open(dst, nonce, sealed, aad []byte) ([]byte, error) {
	n := len(sealed) - shortTag
	if n < 0 || len(nonce) != g.NonceSize() {
		return nil, errShortTag
	}
	text, tag := sealed[:n], sealed[n:]
	start := len(dst)
	dst = append(dst, text...)
	clear(g.counter[:])
	copy(g.counter[:], nonce)
	g.counter[aes.BlockSize-1] = 2 // NIST SP 800-38D §7.1: J0 and 1
	g.xor(dst[start:], dst[start:])
	g.again = g.aead.Seal(g.again[:0], nonce, dst[start:], aad)
	if subtle.ConstantTimeCompare(g.again[n:n+shortTag], tag) != 1 {
		clear(dst[start:])
		return nil, errShortTag
	}
	return dst, nil
}
