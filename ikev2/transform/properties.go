package transform

import "fmt"

// AEAD says whether the cipher brings its own integrity check, so that a proposal
// must have no INTEG transform or only AUTH_NONE beside it (RFC 7296 §3.3,
// RFC 5282 §8). ENCR_NULL_AUTH_AES_GMAC counts (RFC 4543).
func (e ENCR) AEAD() bool {
	switch e {
	case ENCR_AES_CCM_8, ENCR_AES_CCM_12, ENCR_AES_CCM_16,
		ENCR_AES_GCM_8, ENCR_AES_GCM_12, ENCR_AES_GCM_16,
		ENCR_NULL_AUTH_AES_GMAC, ENCR_CHACHA20_POLY1305:
		return true
	}
	return e.ImplicitIV()
}

// ImplicitIV says that the IV is the sequence number of the packet and is not
// sent (RFC 8750).
func (e ENCR) ImplicitIV() bool {
	switch e {
	case ENCR_AES_CCM_8_IIV, ENCR_AES_GCM_16_IIV, ENCR_CHACHA20_POLY1305_IIV:
		return true
	}
	return false
}

// UsableForIKE says whether the cipher may protect IKE's own messages; what is
// left is for ESP alone. IKE's message IDs make no nonces (RFC 8750 §7), and what
// encrypts nothing is not for it (RFC 7296 §3.14). RFC 5282 would let IKE have AES-GCM
// with an ICV of 8 octets, but a short one saves it nothing (RFC 8247 §2.1).
func (e ENCR) UsableForIKE() bool {
	switch e {
	case ENCR_NULL, ENCR_NULL_AUTH_AES_GMAC, ENCR_AES_GCM_8:
		return false
	}
	return e.Built() && !e.ImplicitIV()
}

// Built says whether NewCipher can make the cipher.
func (e ENCR) Built() bool {
	switch e {
	case ENCR_NULL, ENCR_DES, ENCR_3DES, ENCR_AES_CBC, ENCR_AES_CTR,
		ENCR_AES_CCM_8, ENCR_AES_CCM_12, ENCR_AES_CCM_16, ENCR_AES_GCM_8, ENCR_AES_GCM_12, ENCR_AES_GCM_16,
		ENCR_NULL_AUTH_AES_GMAC, ENCR_CHACHA20_POLY1305:
		return true
	}
	return e.ImplicitIV()
}

// variableKey says whether the key length is negotiated with the Key Length attribute.
func (e ENCR) variableKey() bool {
	switch e {
	case ENCR_AES_CBC, ENCR_AES_CTR, ENCR_AES_CCM_8, ENCR_AES_CCM_12, ENCR_AES_CCM_16,
		ENCR_AES_GCM_8, ENCR_AES_GCM_12, ENCR_AES_GCM_16, ENCR_NULL_AUTH_AES_GMAC,
		ENCR_AES_CCM_8_IIV, ENCR_AES_GCM_16_IIV:
		return true
	}
	return false
}

// SaltLen is the count of octets at the end of the keying material that are not
// the cipher's key but the fixed part of its nonce: 4 for GCM, GMAC and CTR
// (RFC 4106 §8.1, RFC 4543 §5.4, RFC 5930 §2), 3 for CCM (RFC 4309 §7.1), 4 for
// ChaCha20-Poly1305 (RFC 7634 §2), the same for the forms with an implicit IV
// (RFC 8750 §4), otherwise 0.
func (e ENCR) SaltLen() int {
	switch e {
	case ENCR_AES_CCM_8, ENCR_AES_CCM_12, ENCR_AES_CCM_16, ENCR_AES_CCM_8_IIV:
		return 3
	case ENCR_AES_CTR, ENCR_AES_GCM_8, ENCR_AES_GCM_12, ENCR_AES_GCM_16, ENCR_AES_GCM_16_IIV,
		ENCR_NULL_AUTH_AES_GMAC, ENCR_CHACHA20_POLY1305, ENCR_CHACHA20_POLY1305_IIV:
		return 4
	}
	return 0
}

// KeyLen is the keying material, in octets and with the salt, that the cipher
// takes with a Key Length attribute of bits; 0 stands for an absent attribute.
// A cipher with a fixed length must have none and AES must have one
// (RFC 7296 §3.3.5). The error says which lengths are possible.
func (e ENCR) KeyLen(bits uint16) (int, error) {
	if e.variableKey() {
		switch bits {
		case 128, 192, 256:
			return int(bits)/8 + e.SaltLen(), nil
		case 0:
			return 0, fmt.Errorf("%v: the Key Length attribute is missing; 128, 192 or 256 bits are possible", e)
		}
		return 0, fmt.Errorf("%v: key length of %d bits; 128, 192 or 256 are possible", e, bits)
	}
	n, known := 0, true
	switch e {
	case ENCR_NULL:
	case ENCR_DES:
		n = 8
	case ENCR_3DES:
		n = 24
	case ENCR_CHACHA20_POLY1305, ENCR_CHACHA20_POLY1305_IIV:
		n = 32 + e.SaltLen()
	default:
		known = false
	}
	switch {
	case !known:
		return 0, fmt.Errorf("%v: the key length is not known", e)
	case bits != 0:
		return 0, fmt.Errorf("%v: key length of %d bits given, but it is fixed", e, bits)
	}
	return n, nil
}

// ValidKeyBits says whether bits is a possible value of the Key Length attribute,
// with 0 for its absence: 128, 192 and 256 for AES, only 0 for fixed lengths.
func (e ENCR) ValidKeyBits(bits uint16) bool {
	_, err := e.KeyLen(bits)
	return err == nil
}

// IVLen is the explicit IV in front of the ciphertext, in octets.
func (e ENCR) IVLen() int {
	switch {
	case e.ImplicitIV():
		return 0 // RFC 8750 §4
	case e == ENCR_AES_CBC:
		return 16 // RFC 3602 §2
	case e == ENCR_DES, e == ENCR_3DES, e == ENCR_AES_CTR, e.AEAD():
		return 8 // RFC 2405, RFC 2451, RFC 3686 §3.1, RFC 4106 §3.1, RFC 4309 §3.1, RFC 7634 §2
	}
	return 0
}

// CountsIV says whether IVs must be unique under a key and need not be unforeseen,
// so that a counter makes them: AEADs (RFC 5282 §3.1) and AES-CTR (RFC 3686 §3.1).
// Those with an implicit IV have the sequence number for it.
func (e ENCR) CountsIV() bool { return e == ENCR_AES_CTR || e.AEAD() }

// BlockLen is what the plaintext must be a multiple of, in octets; 1 for ciphers
// that take any length. ESP pads to 4 octets on top of it (RFC 4303 §2.4).
func (e ENCR) BlockLen() int {
	switch e {
	case ENCR_AES_CBC:
		return 16
	case ENCR_DES, ENCR_3DES:
		return 8
	}
	return 1
}

// ICVLen is the integrity check value of an AEAD in octets; 0 for other ciphers,
// whose INTEG has one.
func (e ENCR) ICVLen() int {
	switch e {
	case ENCR_AES_CCM_8, ENCR_AES_GCM_8, ENCR_AES_CCM_8_IIV:
		return 8
	case ENCR_AES_CCM_12, ENCR_AES_GCM_12:
		return 12
	case ENCR_AES_CCM_16, ENCR_AES_GCM_16, ENCR_NULL_AUTH_AES_GMAC, ENCR_CHACHA20_POLY1305,
		ENCR_AES_GCM_16_IIV, ENCR_CHACHA20_POLY1305_IIV:
		return 16
	}
	return 0
}

// Built says whether NewPRF can make the function.
func (p PRF) Built() bool {
	_, err := NewPRF(p)
	return err == nil
}

// Built says whether NewCipher takes the algorithm; AUTH_NONE is built, for AEADs.
func (i INTEG) Built() bool {
	switch i {
	case AUTH_NONE, AUTH_AES_XCBC_96, AUTH_AES_CMAC_96:
		return true
	}
	return i.newHash() != nil
}

// KeyLen is the key in octets: the hash's output for HMAC (RFC 7296 §3.3.2,
// RFC 4868 §2.1.1), a block for AES; 0 for AUTH_NONE and unknown algorithms.
func (i INTEG) KeyLen() int {
	switch i {
	case AUTH_HMAC_MD5_96, AUTH_AES_XCBC_96, AUTH_AES_CMAC_96:
		return 16
	case AUTH_HMAC_SHA1_96:
		return 20
	case AUTH_HMAC_SHA2_256_128:
		return 32
	case AUTH_HMAC_SHA2_384_192:
		return 48
	case AUTH_HMAC_SHA2_512_256:
		return 64
	}
	return 0
}

// ICVLen is the truncated integrity check value in octets (RFC 2404, RFC 4868
// §2.3); 0 for AUTH_NONE and unknown algorithms.
func (i INTEG) ICVLen() int {
	switch i {
	case AUTH_HMAC_MD5_96, AUTH_HMAC_SHA1_96, AUTH_AES_XCBC_96, AUTH_AES_CMAC_96:
		return 12
	case AUTH_HMAC_SHA2_256_128:
		return 16
	case AUTH_HMAC_SHA2_384_192:
		return 24
	case AUTH_HMAC_SHA2_512_256:
		return 32
	}
	return 0
}

// Built says whether GenerateKey can make keys of the method.
func (k KE) Built() bool {
	return k == KE_CURVE448 || k.curve() != nil || k.modp() != nil
}

// PublicLen is the public value in a KE payload, in octets: the size of the prime
// for MODP groups (RFC 7296 §3.4), x and y together for ECP groups (RFC 5903 §7),
// 32 for Curve25519 and 56 for Curve448 (RFC 8031 §3.1); 0 for methods that are not known.
func (k KE) PublicLen() int {
	switch k {
	case KE_MODP_768:
		return 768 / 8
	case KE_MODP_1024:
		return 1024 / 8
	case KE_MODP_1536:
		return 1536 / 8
	case KE_MODP_2048:
		return 2048 / 8
	case KE_MODP_3072:
		return 3072 / 8
	case KE_MODP_4096:
		return 4096 / 8
	case KE_MODP_6144:
		return 6144 / 8
	case KE_MODP_8192:
		return 8192 / 8
	case KE_ECP_256:
		return 2 * 32
	case KE_ECP_384:
		return 2 * 48
	case KE_ECP_521:
		return 2 * 66
	case KE_CURVE25519:
		return 32
	case KE_CURVE448:
		return 56
	}
	return 0
}
