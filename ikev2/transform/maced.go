package transform

import (
	"crypto/hmac"
	"crypto/sha512"
	"hash"
)

// maced is encryption followed by a MAC over everything sent: CBC, counter mode or
// no encryption, with a MAC truncated to the ICV (RFC 4303 §3.3.2, RFC 7296 §3.14,
// RFC 4868 §2.3).
type maced struct {
	mode      packetMode // nil: ENCR_NULL
	blockSize int        // 1 for counter mode and without encryption
	mac       hash.Hash
	icvSize   int
	sum       [sha512.Size]byte // room for the longest untruncated output
}

// newMACed makes a maced; a nil mode is ENCR_NULL.
func newMACed(mode packetMode, blockSize int, integ INTEG, integKey []byte) (*maced, error) {
	mac, err := integ.newMAC(integKey)
	if err != nil {
		return nil, err
	}
	return &maced{mode: mode, blockSize: blockSize, mac: mac, icvSize: integ.ICVLen()}, nil
}

func (m *maced) IVSize() int {
	if m.mode == nil {
		return 0
	}
	return m.mode.ivSize()
}

func (m *maced) BlockSize() int { return m.blockSize }
func (m *maced) ICVSize() int   { return m.icvSize }

func (m *maced) Seal(dst, iv, plaintext, aad, tail []byte) []byte {
	start := len(dst)
	dst = append(dst, iv...)
	dst = append(dst, plaintext...)
	if m.mode != nil {
		m.mode.encrypt(iv, dst[start+len(iv):])
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
	if m.mode != nil {
		m.mode.decrypt(body[:ivSize], text)
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
