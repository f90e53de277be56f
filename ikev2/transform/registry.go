// Package transform holds the IANA registries of IKEv2 transforms and the
// algorithms behind them: encryption, PRF, integrity, key exchange and sequence
// numbers. It is a leaf: it imports nothing of racoon2, and config, kernel,
// kink and ikev2 may all import it.
//
// It never chooses among proposals, derives no IKE keys beyond prf+, knows no
// packet format and keeps no state between calls. Its only randomness is that of
// GenerateKey, which takes it from the system.
//
// Built are AES-CBC (RFC 3602), AES-CTR (RFC 3686, RFC 5930), AES-GCM with an ICV
// of 16, 12 or 8 octets (RFC 4106, RFC 5282), AES-CCM (RFC 4309, RFC 5282),
// ChaCha20-Poly1305 (RFC 7634), AES-GMAC (RFC 4543), the three that have an implicit
// IV (RFC 8750), ENCR_NULL (RFC 2410), 3DES (RFC 2451) and DES (RFC 2405); HMAC with
// MD5 (RFC 2403), SHA-1 (RFC 2404) and SHA-2 (RFC 4868), AES-XCBC (RFC 3566,
// RFC 4434) and AES-CMAC (RFC 4494, RFC 4615), as PRF and as integrity algorithm;
// the MODP groups of RFC 2409 and RFC 3526, the ECP groups of RFC 5903, Curve25519
// and Curve448 (RFC 8031). DES, 3DES, MD5, SHA-1 and the groups of 768, 1024 and 1536 bits
// are weak and for old peers alone; the time of DES and 3DES depends on secrets. The other numbers of the registries have names only, so
// that what a peer offers can be printed; Built tells them apart.
package transform

// Type is a transform type (RFC 7296 §3.3.2).
type Type uint8

// The transform types.
const (
	TypeENCR  Type = 1
	TypePRF   Type = 2
	TypeINTEG Type = 3
	TypeKE    Type = 4
	TypeSN    Type = 5 // sequence numbers (RFC 9827; ESN in RFC 7296)
)

// ENCR is an encryption transform identifier.
type ENCR uint16

// Encryption transforms (IANA "Transform Type 1").
const (
	ENCR_DES                ENCR = 2
	ENCR_3DES               ENCR = 3
	ENCR_NULL               ENCR = 11
	ENCR_AES_CBC            ENCR = 12
	ENCR_AES_CTR            ENCR = 13
	ENCR_AES_CCM_8          ENCR = 14
	ENCR_AES_CCM_12         ENCR = 15
	ENCR_AES_CCM_16         ENCR = 16
	ENCR_AES_GCM_8          ENCR = 18
	ENCR_AES_GCM_12         ENCR = 19
	ENCR_AES_GCM_16         ENCR = 20
	ENCR_NULL_AUTH_AES_GMAC ENCR = 21
	ENCR_CHACHA20_POLY1305  ENCR = 28

	// Ciphers whose IV is the sequence number and not sent (RFC 8750); ESP only.
	ENCR_AES_CCM_8_IIV         ENCR = 29
	ENCR_AES_GCM_16_IIV        ENCR = 30
	ENCR_CHACHA20_POLY1305_IIV ENCR = 31
)

// PRF is a pseudorandom function identifier.
type PRF uint16

// Pseudorandom functions (IANA "Transform Type 2").
const (
	PRF_HMAC_MD5      PRF = 1
	PRF_HMAC_SHA1     PRF = 2
	PRF_AES128_XCBC   PRF = 4
	PRF_HMAC_SHA2_256 PRF = 5
	PRF_HMAC_SHA2_384 PRF = 6
	PRF_HMAC_SHA2_512 PRF = 7
	PRF_AES128_CMAC   PRF = 8
)

// INTEG is an integrity transform identifier; AUTH_NONE is "none", as AEADs need.
type INTEG uint16

// Integrity algorithms (IANA "Transform Type 3").
const (
	AUTH_NONE              INTEG = 0
	AUTH_HMAC_MD5_96       INTEG = 1
	AUTH_HMAC_SHA1_96      INTEG = 2
	AUTH_AES_XCBC_96       INTEG = 5
	AUTH_AES_CMAC_96       INTEG = 8
	AUTH_HMAC_SHA2_256_128 INTEG = 12
	AUTH_HMAC_SHA2_384_192 INTEG = 13
	AUTH_HMAC_SHA2_512_256 INTEG = 14
)

// KE is a key exchange method.
type KE uint16

// Key exchange methods (IANA "Transform Type 4").
const (
	KE_NONE       KE = 0
	KE_MODP_768   KE = 1
	KE_MODP_1024  KE = 2
	KE_MODP_1536  KE = 5
	KE_MODP_2048  KE = 14
	KE_MODP_3072  KE = 15
	KE_MODP_4096  KE = 16
	KE_MODP_6144  KE = 17
	KE_MODP_8192  KE = 18
	KE_ECP_256    KE = 19
	KE_ECP_384    KE = 20
	KE_ECP_521    KE = 21
	KE_CURVE25519 KE = 31
	KE_CURVE448   KE = 32
)

// SN is a sequence number transform: 32-bit or extended (RFC 4303 §2.2.1).
type SN uint16

// Sequence number transforms (IANA "Transform Type 5").
const (
	SN_32BIT    SN = 0
	SN_EXTENDED SN = 1
)

// COMP is a compression algorithm of IPComp (IANA "IKEv2 Notification IPCOMP
// Transform IDs"; the IPsec DOI has the same numbers).
type COMP uint8

// Compression algorithms.
const (
	COMP_NONE    COMP = 0
	COMP_OUI     COMP = 1
	COMP_DEFLATE COMP = 2 // RFC 2394
	COMP_LZS     COMP = 3
	COMP_LZJH    COMP = 4
)
