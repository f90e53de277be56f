package transform

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha512"
	"hash"
)

// maced is encryption followed by a MAC over everything sent: AES-CBC or no
// encryption, with HMAC truncated to the ICV (RFC 4303 §3.3.2, RFC 7296 §3.14,
// RFC 4868 §2.3).
type maced struct {
	enc, dec  cbcMode // nil: ENCR_NULL
	blockSize int     // 1 without encryption
	mac       hash.Hash
	icvSize   int
	sum       [sha512.Size]byte // room for the longest untruncated output
}

// cbcMode is a CBC encrypter or decrypter that takes a new IV for each packet, so
// that none is made for each. The standard library's have the method for TLS.
type cbcMode interface {
	cipher.BlockMode
	SetIV(iv []byte)
}

// newMACed makes a maced; a nil block is ENCR_NULL.
func newMACed(block cipher.Block, integ INTEG, integKey []byte) *maced {
	m := &maced{
		blockSize: 1,
		mac:       hmac.New(integ.newHash(), integKey),
		icvSize:   integ.ICVLen(),
	}
	if block != nil {
		m.blockSize = block.BlockSize()
		zero := make([]byte, m.blockSize)
		m.enc = cipher.NewCBCEncrypter(block, zero).(cbcMode)
		m.dec = cipher.NewCBCDecrypter(block, zero).(cbcMode)
	}
	return m
}

func (m *maced) IVSize() int {
	if m.enc == nil {
		return 0
	}
	return m.blockSize
}

func (m *maced) BlockSize() int { return m.blockSize }
func (m *maced) ICVSize() int   { return m.icvSize }

func (m *maced) Seal(dst, iv, plaintext, aad, tail []byte) []byte {
	start := len(dst)
	dst = append(dst, iv...)
	dst = append(dst, plaintext...)
	if m.enc != nil {
		text := dst[start+len(iv):]
		m.enc.SetIV(iv)
		m.enc.CryptBlocks(text, text)
	}
	return append(dst, m.icv(aad, dst[start:], tail)...)
}

func (m *maced) Open(packet, aad, tail []byte) ([]byte, error) {
	ivSize := m.IVSize()
	if len(packet) < ivSize+m.icvSize {
		return nil, ErrIntegrity
	}
	body, icv := packet[:len(packet)-m.icvSize], packet[len(packet)-m.icvSize:]
	if !hmac.Equal(icv, m.icv(aad, body, tail)) {
		return nil, ErrIntegrity
	}
	text := body[ivSize:]
	if len(text)%m.blockSize != 0 {
		return nil, ErrBlocks
	}
	if m.dec != nil {
		m.dec.SetIV(body[:ivSize])
		m.dec.CryptBlocks(text, text)
	}
	return text, nil
}

// icv is the truncated MAC; it is valid until the next call.
func (m *maced) icv(aad, body, tail []byte) []byte {
	m.mac.Reset()
	m.mac.Write(aad)
	m.mac.Write(body)
	m.mac.Write(tail)
	return m.mac.Sum(m.sum[:0])[:m.icvSize]
}
