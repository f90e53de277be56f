package transform

import "crypto/cipher"

// implicitIVLen is the part of the nonce that is made of the sequence number.
const implicitIVLen = 8

// implicit is an AEAD whose nonce is a salt followed by the packet's sequence
// number, and which sends no IV (RFC 8750 §4). It takes the number out of the
// additional data, which ESP makes of SPI and sequence number (RFC 4106 §5).
type implicit struct {
	aead  cipher.AEAD
	nonce []byte // salt | sequence number of the packet at hand
}

func newImplicit(aead cipher.AEAD, salt []byte) *implicit {
	i := &implicit{aead: aead, nonce: make([]byte, aead.NonceSize())}
	copy(i.nonce, salt)
	return i
}

func (*implicit) IVSize() int    { return 0 }
func (*implicit) BlockSize() int { return 1 }
func (i *implicit) ICVSize() int { return i.aead.Overhead() }

// setSequence completes the nonce: 64 bits of an extended number, or four octets
// of zeros and 32 bits (RFC 8750 §4). It says whether aad is ESP's.
func (i *implicit) setSequence(aad []byte) bool {
	const spi = 4
	iv := i.nonce[len(i.nonce)-implicitIVLen:]
	switch len(aad) {
	case spi + 4:
		clear(iv[:4])
		copy(iv[4:], aad[spi:])
	case spi + 8:
		copy(iv, aad[spi:])
	default:
		return false
	}
	return true
}

// Seal panics at additional data that are not ESP's: that is a mistake of the
// program, never a packet's.
func (i *implicit) Seal(dst, _, plaintext, aad, _ []byte) []byte {
	if !i.setSequence(aad) {
		panic("transform: an implicit IV without ESP's sequence number")
	}
	return i.aead.Seal(dst, i.nonce, plaintext, aad)
}

func (i *implicit) Open(packet, aad, _ []byte) ([]byte, error) {
	if len(packet) < i.ICVSize() || !i.setSequence(aad) {
		return nil, ErrIntegrity
	}
	plaintext, err := i.aead.Open(packet[:0], i.nonce, packet, aad)
	if err != nil {
		return nil, ErrIntegrity
	}
	return plaintext, nil
}
