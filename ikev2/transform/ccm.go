package transform

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ccm is AES-CCM (RFC 3610), which the standard library lacks: CBC-MAC over
// lengths, additional data and plaintext, and counter mode over MAC and plaintext.
// It is a cipher.AEAD of one goroutine and allocates nothing where there is room.
// Time depends on lengths alone.
type ccm struct {
	keystream
	nonceSize, tagSize int
	mac                [aes.BlockSize]byte
	mask               [aes.BlockSize]byte // key stream block 0, which encrypts the MAC
}

// newCCM makes an AEAD with nonces of 7 to 13 octets and tags of 4, 6, … 16.
func newCCM(block cipher.Block, nonceSize, tagSize int) (*ccm, error) {
	if nonceSize < 7 || nonceSize > 13 || tagSize < 4 || tagSize > 16 || tagSize%2 != 0 {
		return nil, fmt.Errorf("CCM has no nonce of %d octets with a tag of %d", nonceSize, tagSize)
	}
	return &ccm{keystream: keystream{block: block}, nonceSize: nonceSize, tagSize: tagSize}, nil
}

func (c *ccm) NonceSize() int { return c.nonceSize }
func (c *ccm) Overhead() int  { return c.tagSize }

// lengthSize is L of RFC 3610 §2: the octets of the counter and of the length.
func (c *ccm) lengthSize() int { return aes.BlockSize - 1 - c.nonceSize }

// fits says whether a text has a length that the nonce leaves room for.
func (c *ccm) fits(n int) bool {
	bits := min(8*c.lengthSize(), 32) // the counter has 32 bits here
	return uint64(n) < 1<<bits
}

// start sets the counter block to the first, and makes the mask of the MAC (RFC 3610 §2.3).
func (c *ccm) start(nonce []byte) {
	clear(c.counter[:])
	c.counter[0] = byte(c.lengthSize() - 1)
	copy(c.counter[1:], nonce)
	c.block.Encrypt(c.mask[:], c.counter[:])
	c.counter[aes.BlockSize-1] = 1
}

// authenticate computes the MAC, still without its mask (RFC 3610 §2.2).
func (c *ccm) authenticate(nonce, text, aad []byte) {
	clear(c.mac[:])
	binary.BigEndian.PutUint64(c.mac[8:], uint64(len(text)))
	c.mac[0] = byte((c.tagSize-2)/2<<3 | (c.lengthSize() - 1))
	if len(aad) > 0 {
		c.mac[0] |= 1 << 6
	}
	copy(c.mac[1:], nonce)
	c.block.Encrypt(c.mac[:], c.mac[:])
	if len(aad) > 0 {
		c.absorb(c.absorbLength(len(aad)), aad)
	}
	c.absorb(0, text)
}

// absorbLength puts the length of the additional data in front of it, and returns
// how many octets of the block it took.
func (c *ccm) absorbLength(n int) int {
	if n < 0xff00 {
		c.mac[0] ^= byte(n >> 8)
		c.mac[1] ^= byte(n)
		return 2
	}
	c.mac[0] ^= 0xff
	c.mac[1] ^= 0xfe
	for i := range 4 {
		c.mac[2+i] ^= byte(n >> (24 - 8*i))
	}
	return 6
}

// absorb takes data into the CBC-MAC from octet used of the block on, and fills
// the last block with zeros.
func (c *ccm) absorb(used int, data []byte) {
	for len(data) > 0 || used > 0 {
		n := subtle.XORBytes(c.mac[used:], c.mac[used:], data)
		c.block.Encrypt(c.mac[:], c.mac[:])
		data, used = data[n:], 0
	}
}

// errTag says that a tag is wrong; Cipher.Open makes ErrIntegrity of it.
var errTag = errors.New("CCM: wrong tag")

// Seal panics, as every cipher.AEAD, at a nonce or text of an impossible length:
// both are mistakes of the program, never a packet's.
func (c *ccm) Seal(dst, nonce, plaintext, aad []byte) []byte {
	if len(nonce) != c.nonceSize || !c.fits(len(plaintext)) || uint64(len(aad)) > math.MaxUint32 {
		panic("transform: CCM with an impossible length of nonce or text")
	}
	c.authenticate(nonce, plaintext, aad)
	c.start(nonce)
	subtle.XORBytes(c.mac[:], c.mac[:], c.mask[:])
	start := len(dst)
	dst = append(dst, plaintext...)
	c.xor(dst[start:], dst[start:])
	return append(dst, c.mac[:c.tagSize]...)
}

// Open decrypts to dst, which starts where sealed does or is apart from it. After
// an error the room holds zeros.
func (c *ccm) Open(dst, nonce, sealed, aad []byte) ([]byte, error) {
	n := len(sealed) - c.tagSize
	if len(nonce) != c.nonceSize || n < 0 || !c.fits(n) || uint64(len(aad)) > math.MaxUint32 {
		return nil, errTag
	}
	text, tag := sealed[:n], sealed[n:]
	start := len(dst)
	dst = append(dst, text...)
	c.start(nonce)
	c.xor(dst[start:], dst[start:])
	c.authenticate(nonce, dst[start:], aad)
	subtle.XORBytes(c.mac[:], c.mac[:], c.mask[:])
	if subtle.ConstantTimeCompare(c.mac[:c.tagSize], tag) != 1 {
		clear(dst[start:])
		return nil, errTag
	}
	return dst, nil
}
