package transform

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// packetMode encrypts and decrypts in place, with an IV for each packet.
type packetMode interface {
	ivSize() int
	encrypt(iv, text []byte)
	decrypt(iv, text []byte)
}

// cbc is CBC mode of a block cipher (RFC 3602, RFC 2451).
type cbc struct{ enc, dec cbcMode }

// cbcMode is a CBC encrypter or decrypter that takes a new IV for each packet, so
// that none is made for each. The standard library's have the method for TLS.
type cbcMode interface {
	cipher.BlockMode
	SetIV(iv []byte)
}

func newCBC(block cipher.Block) cbc {
	zero := make([]byte, block.BlockSize())
	return cbc{cipher.NewCBCEncrypter(block, zero).(cbcMode), cipher.NewCBCDecrypter(block, zero).(cbcMode)}
}

func (c cbc) ivSize() int { return c.enc.BlockSize() }

func (c cbc) encrypt(iv, text []byte) {
	c.enc.SetIV(iv)
	c.enc.CryptBlocks(text, text)
}

func (c cbc) decrypt(iv, text []byte) {
	c.dec.SetIV(iv)
	c.dec.CryptBlocks(text, text)
}

// keystream is AES in counter mode with a 32-bit counter at the end of the block.
// The standard library's allocates for each packet.
type keystream struct {
	block   cipher.Block
	counter [aes.BlockSize]byte
	stream  [aes.BlockSize]byte
}

// xor encrypts or decrypts src to dst, which are the same or do not overlap.
func (k *keystream) xor(dst, src []byte) {
	low := k.counter[aes.BlockSize-4:]
	for len(src) > 0 {
		k.block.Encrypt(k.stream[:], k.counter[:])
		binary.BigEndian.PutUint32(low, binary.BigEndian.Uint32(low)+1)
		n := subtle.XORBytes(dst, src, k.stream[:])
		dst, src = dst[n:], src[n:]
	}
	clear(k.stream[:])
}

// counterMode is AES-CTR of ESP and IKE (RFC 3686, RFC 5930): the counter block is
// salt | IV | counter, and the counter starts at 1.
type counterMode struct {
	keystream
	salt [4]byte
}

func newCounterMode(block cipher.Block, salt []byte) *counterMode {
	c := &counterMode{keystream: keystream{block: block}}
	copy(c.salt[:], salt)
	return c
}

func (c *counterMode) ivSize() int { return 8 }

func (c *counterMode) encrypt(iv, text []byte) {
	copy(c.counter[:4], c.salt[:])
	copy(c.counter[4:12], iv)
	binary.BigEndian.PutUint32(c.counter[12:], 1)
	c.xor(text, text)
}

func (c *counterMode) decrypt(iv, text []byte) { c.encrypt(iv, text) }
