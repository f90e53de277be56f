package transform

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"fmt"
	"hash"
)

// blockMAC is a MAC of AES in CBC mode whose last block is masked by one of two
// subkeys, so that messages of all lengths are safe: AES-CMAC (RFC 4493 §2.4) and
// AES-XCBC-MAC (RFC 3566 §4) differ in how the keys are made, and in nothing else.
// It is a hash.Hash, and takes the same time for all keys and data of a length.
type blockMAC struct {
	block cipher.Block
	full  [aes.BlockSize]byte // mask of a last block that is whole
	part  [aes.BlockSize]byte // mask of one that was padded
	state [aes.BlockSize]byte
	held  [aes.BlockSize]byte // what may be the last block
	n     int                 // octets of held
}

// blockMACKey is the key length of both algorithms in octets.
const blockMACKey = 16

// newCMAC makes AES-CMAC with a key of AES (RFC 4493 §2.3).
func newCMAC(key []byte) (*blockMAC, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	m := &blockMAC{block: block}
	block.Encrypt(m.full[:], m.full[:])
	double(&m.full)
	m.part = m.full
	double(&m.part)
	return m, nil
}

// double multiplies by x in GF(2^128), in constant time.
func double(b *[aes.BlockSize]byte) {
	const poly = 0x87 // Rb of RFC 4493 §2.3
	carry := b[0] >> 7
	for i := range len(b) - 1 {
		b[i] = b[i]<<1 | b[i+1]>>7
	}
	last := len(b) - 1
	b[last] = b[last]<<1 ^ -carry&poly
}

// newXCBC makes AES-XCBC-MAC: the three keys are the encryption of the octets 1,
// 2 and 3 repeated (RFC 3566 §4).
func newXCBC(key []byte) (*blockMAC, error) {
	if len(key) != blockMACKey {
		return nil, fmt.Errorf("AES-XCBC-MAC: key of %d octets, want %d", len(key), blockMACKey)
	}
	outer, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	m := new(blockMAC)
	k1 := make([]byte, aes.BlockSize)
	defer clear(k1)
	for i, sub := range [][]byte{k1, m.full[:], m.part[:]} {
		for j := range sub {
			sub[j] = byte(i + 1)
		}
		outer.Encrypt(sub, sub)
	}
	m.block, err = aes.NewCipher(k1)
	return m, err
}

func (m *blockMAC) Size() int      { return aes.BlockSize }
func (m *blockMAC) BlockSize() int { return aes.BlockSize }

// Reset starts a new message under the same key.
func (m *blockMAC) Reset() {
	clear(m.state[:])
	clear(m.held[:])
	m.n = 0
}

// Write never fails.
func (m *blockMAC) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		if m.n == len(m.held) { // more comes, so that it was not the last
			subtle.XORBytes(m.state[:], m.state[:], m.held[:])
			m.block.Encrypt(m.state[:], m.state[:])
			m.n = 0
		}
		n := copy(m.held[m.n:], p)
		m.n += n
		p = p[n:]
	}
	return written, nil
}

// Sum appends the MAC of what was written; more may be written after it.
func (m *blockMAC) Sum(b []byte) []byte {
	start := len(b)
	b = append(b, m.held[:]...)
	last, mask := b[start:], &m.full
	if m.n < len(last) {
		last[m.n] = 0x80
		clear(last[m.n+1:])
		mask = &m.part
	}
	subtle.XORBytes(last, last, mask[:])
	subtle.XORBytes(last, last, m.state[:])
	m.block.Encrypt(last, last)
	return b
}

// blockPRF is AES-XCBC-PRF-128 (RFC 4434) or AES-CMAC-PRF-128 (RFC 4615). Both
// have a key of 128 bits, and a rule each for keys of other lengths.
type blockPRF struct{ method PRF }

func (blockPRF) KeySize() int { return blockMACKey }
func (blockPRF) Size() int    { return aes.BlockSize }

func (p blockPRF) Sum(key []byte, data ...[]byte) []byte {
	fitted := p.fit(key)
	defer clear(fitted[:])
	return p.sum(fitted[:], data...)
}

// fit makes 128 bits of a key: RFC 4434 §2 fills a short one with zeros, which
// RFC 4615 §3 does not; both take the MAC of anything else under the key of zeros.
func (p blockPRF) fit(key []byte) (out [blockMACKey]byte) {
	short := p.method == PRF_AES128_XCBC && len(key) < blockMACKey
	if short || len(key) == blockMACKey {
		copy(out[:], key)
		return out
	}
	mac := p.sum(out[:], key)
	copy(out[:], mac)
	clear(mac)
	return out
}

func (p blockPRF) sum(key []byte, data ...[]byte) []byte {
	newMAC := newCMAC
	if p.method == PRF_AES128_XCBC {
		newMAC = newXCBC
	}
	m, err := newMAC(key)
	if err != nil {
		panic("transform: " + err.Error()) // the key has the length that AES wants
	}
	for _, d := range data {
		m.Write(d)
	}
	return m.Sum(nil)
}

var _ hash.Hash = (*blockMAC)(nil)
