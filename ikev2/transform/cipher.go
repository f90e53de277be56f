package transform

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" // weak and not constant in time; only when an operator names it
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Errors of Cipher.Open. Both are all that a caller may learn about a packet.
var (
	// ErrIntegrity says that the packet is not what the holder of the key sealed:
	// it is too short, or its integrity check value is wrong.
	ErrIntegrity = errors.New("integrity check failed")
	// ErrBlocks says that an authentic packet's ciphertext does not consist of
	// whole blocks.
	ErrBlocks = errors.New("ciphertext is not a whole number of blocks")
)

// NewCipher makes the cipher that protects one direction. encrKey has
// ENCR.KeyLen octets, the salt last; integKey has INTEG.KeyLen octets. The caller
// may wipe both afterwards: no slice is kept. What the standard library derives
// from the keys (AES key schedule, HMAC state) cannot be wiped; it goes with the Cipher.
//
// Ciphers that are not UsableForIKE take ESP's additional data: SPI and sequence
// number, of 32 or 64 bits.
//
// An AEAD comes with AUTH_NONE, everything else must have an integrity algorithm:
// confidentiality without it is refused (RFC 4303 §3.2 and §3.3 would allow it
// to ESP, RFC 7296 §3.14 does not to IKE), and so is ENCR_NULL alone.
func NewCipher(encr ENCR, encrKey []byte, integ INTEG, integKey []byte) (Cipher, error) {
	switch {
	case !encr.Built():
		return nil, fmt.Errorf("%v is not built", encr)
	case !integ.Built():
		return nil, fmt.Errorf("%v is not built", integ)
	case encr.AEAD() && integ != AUTH_NONE:
		return nil, fmt.Errorf("%v needs no integrity algorithm, but %v was given", encr, integ)
	case !encr.AEAD() && integ == AUTH_NONE:
		return nil, fmt.Errorf("%v needs an integrity algorithm", encr)
	case len(integKey) != integ.KeyLen():
		return nil, fmt.Errorf("%v: key of %d octets, want %d", integ, len(integKey), integ.KeyLen())
	}
	if err := checkKey(encr, len(encrKey)); err != nil {
		return nil, err
	}
	key, salt := encrKey[:len(encrKey)-encr.SaltLen()], encrKey[len(encrKey)-encr.SaltLen():]
	if !encr.AEAD() {
		mode, err := newMode(encr, key, salt)
		if err != nil {
			return nil, err
		}
		return newMACed(mode, encr.BlockLen(), integ, integKey)
	}
	aead, err := newAEAD(encr, key)
	if err != nil {
		return nil, err
	}
	switch {
	case encr.ImplicitIV():
		return newImplicit(aead, salt), nil
	case encr == ENCR_NULL_AUTH_AES_GMAC:
		return newGMAC(aead, salt, encr.IVLen()), nil
	}
	return newSalted(aead, salt, encr.IVLen()), nil
}

// checkKey says whether the cipher has keys of n octets, salt included.
func checkKey(encr ENCR, n int) error {
	bits := uint16(0)
	if encr.variableKey() {
		bits = uint16(min(max(n-encr.SaltLen(), 0), 64) * 8)
	}
	want, err := encr.KeyLen(bits)
	switch {
	case err != nil:
		return fmt.Errorf("%v: keying material of %d octets fits no key length", encr, n)
	case n != want:
		return fmt.Errorf("%v: keying material of %d octets, want %d", encr, n, want)
	}
	return nil
}

// newMode makes a cipher without integrity; nil for ENCR_NULL.
func newMode(encr ENCR, key, salt []byte) (packetMode, error) {
	switch encr {
	case ENCR_NULL:
		return nil, nil
	case ENCR_DES:
		block, err := des.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return newCBC(block), nil
	case ENCR_3DES:
		block, err := des.NewTripleDESCipher(key)
		if err != nil {
			return nil, err
		}
		return newCBC(block), nil
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if encr == ENCR_AES_CTR {
		return newCounterMode(block, salt), nil
	}
	return newCBC(block), nil
}

func newAEAD(encr ENCR, key []byte) (cipher.AEAD, error) {
	if encr == ENCR_CHACHA20_POLY1305 || encr == ENCR_CHACHA20_POLY1305_IIV {
		return chacha20poly1305.New(key)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	switch encr {
	case ENCR_AES_CCM_8, ENCR_AES_CCM_12, ENCR_AES_CCM_16, ENCR_AES_CCM_8_IIV:
		const iv = 8 // RFC 4309 §3.1, sent or not
		return newCCM(block, encr.SaltLen()+iv, encr.ICVLen())
	case ENCR_AES_GCM_8:
		return newShortGCM(block)
	}
	return cipher.NewGCMWithTagSize(block, encr.ICVLen())
}
