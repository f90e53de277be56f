package transform

import "fmt"

// String is the short name of the transform type: "ENCR", "PRF", "INTEG", "KE",
// "SN", and "ADDKE1" to "ADDKE7" for RFC 9370's additional key exchanges.
func (t Type) String() string {
	switch t {
	case TypeENCR:
		return "ENCR"
	case TypePRF:
		return "PRF"
	case TypeINTEG:
		return "INTEG"
	case TypeKE:
		return "KE"
	case TypeSN:
		return "SN"
	case 6, 7, 8, 9, 10, 11, 12:
		return fmt.Sprintf("ADDKE%d", t-5)
	}
	return fmt.Sprintf("TYPE(%d)", uint8(t))
}

// String is the name as the registry spells it, also of transforms that have no
// constant here, because a peer may propose them; "ENCR(99)" for an unknown number.
func (e ENCR) String() string {
	switch e {
	case 1:
		return "ENCR_DES_IV64"
	case ENCR_DES:
		return "ENCR_DES"
	case ENCR_3DES:
		return "ENCR_3DES"
	case 4:
		return "ENCR_RC5"
	case 5:
		return "ENCR_IDEA"
	case 6:
		return "ENCR_CAST"
	case 7:
		return "ENCR_BLOWFISH"
	case 8:
		return "ENCR_3IDEA"
	case 9:
		return "ENCR_DES_IV32"
	case ENCR_NULL:
		return "ENCR_NULL"
	case ENCR_AES_CBC:
		return "ENCR_AES_CBC"
	case ENCR_AES_CTR:
		return "ENCR_AES_CTR"
	case ENCR_AES_CCM_8:
		return "ENCR_AES_CCM_8"
	case ENCR_AES_CCM_12:
		return "ENCR_AES_CCM_12"
	case ENCR_AES_CCM_16:
		return "ENCR_AES_CCM_16"
	case ENCR_AES_GCM_8:
		return "ENCR_AES_GCM_8"
	case ENCR_AES_GCM_12:
		return "ENCR_AES_GCM_12"
	case ENCR_AES_GCM_16:
		return "ENCR_AES_GCM_16"
	case ENCR_NULL_AUTH_AES_GMAC:
		return "ENCR_NULL_AUTH_AES_GMAC"
	case 23:
		return "ENCR_CAMELLIA_CBC"
	case 24:
		return "ENCR_CAMELLIA_CTR"
	case 25:
		return "ENCR_CAMELLIA_CCM_8"
	case 26:
		return "ENCR_CAMELLIA_CCM_12"
	case 27:
		return "ENCR_CAMELLIA_CCM_16"
	case ENCR_CHACHA20_POLY1305:
		return "ENCR_CHACHA20_POLY1305"
	case ENCR_AES_CCM_8_IIV:
		return "ENCR_AES_CCM_8_IIV"
	case ENCR_AES_GCM_16_IIV:
		return "ENCR_AES_GCM_16_IIV"
	case ENCR_CHACHA20_POLY1305_IIV:
		return "ENCR_CHACHA20_POLY1305_IIV"
	}
	return fmt.Sprintf("ENCR(%d)", uint16(e))
}

// String is the name as the registry spells it; "PRF(99)" for an unknown number.
func (p PRF) String() string {
	switch p {
	case PRF_HMAC_MD5:
		return "PRF_HMAC_MD5"
	case PRF_HMAC_SHA1:
		return "PRF_HMAC_SHA1"
	case 3:
		return "PRF_HMAC_TIGER"
	case PRF_AES128_XCBC:
		return "PRF_AES128_XCBC"
	case PRF_HMAC_SHA2_256:
		return "PRF_HMAC_SHA2_256"
	case PRF_HMAC_SHA2_384:
		return "PRF_HMAC_SHA2_384"
	case PRF_HMAC_SHA2_512:
		return "PRF_HMAC_SHA2_512"
	case PRF_AES128_CMAC:
		return "PRF_AES128_CMAC"
	}
	return fmt.Sprintf("PRF(%d)", uint16(p))
}

// String is the name as the registry spells it, "NONE" for AUTH_NONE, and
// "INTEG(99)" for an unknown number.
func (i INTEG) String() string {
	switch i {
	case AUTH_NONE:
		return "NONE"
	case AUTH_HMAC_MD5_96:
		return "AUTH_HMAC_MD5_96"
	case AUTH_HMAC_SHA1_96:
		return "AUTH_HMAC_SHA1_96"
	case 3:
		return "AUTH_DES_MAC"
	case 4:
		return "AUTH_KPDK_MD5"
	case AUTH_AES_XCBC_96:
		return "AUTH_AES_XCBC_96"
	case 6:
		return "AUTH_HMAC_MD5_128"
	case 7:
		return "AUTH_HMAC_SHA1_160"
	case AUTH_AES_CMAC_96:
		return "AUTH_AES_CMAC_96"
	case 9:
		return "AUTH_AES_128_GMAC"
	case 10:
		return "AUTH_AES_192_GMAC"
	case 11:
		return "AUTH_AES_256_GMAC"
	case AUTH_HMAC_SHA2_256_128:
		return "AUTH_HMAC_SHA2_256_128"
	case AUTH_HMAC_SHA2_384_192:
		return "AUTH_HMAC_SHA2_384_192"
	case AUTH_HMAC_SHA2_512_256:
		return "AUTH_HMAC_SHA2_512_256"
	}
	return fmt.Sprintf("INTEG(%d)", uint16(i))
}

// String is a short form of the registry's name. The registry describes groups in
// words ("2048-bit MODP Group", "256-bit random ECP group"); they are "MODP_2048",
// "ECP_256" and "CURVE25519" here. "KE(99)" stands for an unknown number.
func (k KE) String() string {
	switch k {
	case KE_NONE:
		return "NONE"
	case KE_MODP_768:
		return "MODP_768"
	case KE_MODP_1024:
		return "MODP_1024"
	case KE_MODP_1536:
		return "MODP_1536"
	case KE_MODP_2048:
		return "MODP_2048"
	case KE_MODP_3072:
		return "MODP_3072"
	case KE_MODP_4096:
		return "MODP_4096"
	case KE_MODP_6144:
		return "MODP_6144"
	case KE_MODP_8192:
		return "MODP_8192"
	case KE_ECP_256:
		return "ECP_256"
	case KE_ECP_384:
		return "ECP_384"
	case KE_ECP_521:
		return "ECP_521"
	case 22:
		return "MODP_1024_160"
	case 23:
		return "MODP_2048_224"
	case 24:
		return "MODP_2048_256"
	case 25:
		return "ECP_192"
	case 26:
		return "ECP_224"
	case 27:
		return "BRAINPOOL_P224R1"
	case 28:
		return "BRAINPOOL_P256R1"
	case 29:
		return "BRAINPOOL_P384R1"
	case 30:
		return "BRAINPOOL_P512R1"
	case KE_CURVE25519:
		return "CURVE25519"
	case KE_CURVE448:
		return "CURVE448"
	case 35:
		return "ML_KEM_512"
	case 36:
		return "ML_KEM_768"
	case 37:
		return "ML_KEM_1024"
	}
	return fmt.Sprintf("KE(%d)", uint16(k))
}

// String is "SN_32BIT" or "SN_EXTENDED", short for the registry's "32-bit
// Sequential Numbers" and "Partially Transmitted 64-bit Sequential Numbers";
// "SN(99)" for an unknown number.
func (s SN) String() string {
	switch s {
	case SN_32BIT:
		return "SN_32BIT"
	case SN_EXTENDED:
		return "SN_EXTENDED"
	}
	return fmt.Sprintf("SN(%d)", uint16(s))
}

// String is the name as the registry spells it.
func (c COMP) String() string {
	switch c {
	case COMP_NONE:
		return "IPCOMP_NONE"
	case COMP_OUI:
		return "IPCOMP_OUI"
	case COMP_DEFLATE:
		return "IPCOMP_DEFLATE"
	case COMP_LZS:
		return "IPCOMP_LZS"
	case COMP_LZJH:
		return "IPCOMP_LZJH"
	}
	return fmt.Sprintf("IPCOMP(%d)", uint8(c))
}
