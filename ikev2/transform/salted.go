package transform

import "crypto/cipher"

// salted is an AEAD whose nonce is a salt from the keying material followed by
// the packet's explicit IV (RFC 4106 §4, RFC 4309 §4, RFC 5282 §4, RFC 7634 §2).
type salted struct {
	aead   cipher.AEAD
	nonce  []byte // salt | IV of the packet at hand
	ivSize int
}

func newSalted(aead cipher.AEAD, salt []byte, ivSize int) *salted {
	s := &salted{aead: aead, nonce: make([]byte, aead.NonceSize()), ivSize: ivSize}
	copy(s.nonce, salt)
	return s
}

func (s *salted) IVSize() int    { return s.ivSize }
func (s *salted) BlockSize() int { return 1 }
func (s *salted) ICVSize() int   { return s.aead.Overhead() }

// setIV completes the nonce.
func (s *salted) setIV(iv []byte) []byte {
	copy(s.nonce[len(s.nonce)-s.ivSize:], iv)
	return s.nonce
}

func (s *salted) Seal(dst, iv, plaintext, aad, _ []byte) []byte {
	return s.aead.Seal(append(dst, iv...), s.setIV(iv), plaintext, aad)
}

func (s *salted) Open(packet, aad, _ []byte) ([]byte, error) {
	if len(packet) < s.ivSize+s.ICVSize() {
		return nil, ErrIntegrity
	}
	iv, sealed := packet[:s.ivSize], packet[s.ivSize:]
	plaintext, err := s.aead.Open(sealed[:0], s.setIV(iv), sealed, aad)
	if err != nil {
		return nil, ErrIntegrity
	}
	return plaintext, nil
}
