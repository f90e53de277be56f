package xfrm

import (
	"bytes"
	"fmt"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// cipher is how the kernel names an encryption transform.
type cipher struct {
	encr transform.ENCR
	name string
	icv  uint32 // bits of the ICV of an AEAD; 0 for other ciphers
	keys []int  // octets that a key may have, salt included
}

// ciphers are the transforms that are offered. DES, 3DES and HMAC-MD5 are for old
// peers, where an operator names them.
var ciphers = [...]cipher{
	{transform.ENCR_AES_GCM_16, "rfc4106(gcm(aes))", 128, []int{20, 28, 36}},
	{transform.ENCR_AES_GCM_12, "rfc4106(gcm(aes))", 96, []int{20, 28, 36}},
	{transform.ENCR_AES_GCM_8, "rfc4106(gcm(aes))", 64, []int{20, 28, 36}},
	{transform.ENCR_CHACHA20_POLY1305, "rfc7539esp(chacha20,poly1305)", 128, []int{36}},
	{transform.ENCR_AES_CCM_16, "rfc4309(ccm(aes))", 128, []int{19, 27, 35}},
	{transform.ENCR_AES_CCM_12, "rfc4309(ccm(aes))", 96, []int{19, 27, 35}},
	{transform.ENCR_AES_CCM_8, "rfc4309(ccm(aes))", 64, []int{19, 27, 35}},
	{transform.ENCR_NULL_AUTH_AES_GMAC, "rfc4543(gcm(aes))", 128, []int{20, 28, 36}},
	{transform.ENCR_AES_CBC, "cbc(aes)", 0, []int{16, 24, 32}},
	{transform.ENCR_AES_CTR, "rfc3686(ctr(aes))", 0, []int{20, 28, 36}},
	{transform.ENCR_3DES, "cbc(des3_ede)", 0, []int{24}},
	{transform.ENCR_DES, "cbc(des)", 0, []int{8}},
	{transform.ENCR_NULL, "ecb(cipher_null)", 0, []int{0}},
}

// mac is how the kernel names an integrity transform.
type mac struct {
	integ transform.INTEG
	name  string
	icv   uint32 // bits
	key   int    // octets
}

var macs = [...]mac{
	{transform.AUTH_HMAC_SHA2_256_128, "hmac(sha256)", 128, 32},
	{transform.AUTH_HMAC_SHA2_384_192, "hmac(sha384)", 192, 48},
	{transform.AUTH_HMAC_SHA2_512_256, "hmac(sha512)", 256, 64},
	{transform.AUTH_HMAC_SHA1_96, "hmac(sha1)", 96, 20},
	{transform.AUTH_HMAC_MD5_96, "hmac(md5)", 96, 16},
	{transform.AUTH_AES_XCBC_96, "xcbc(aes)", 96, 16},
	{transform.AUTH_AES_CMAC_96, "cmac(aes)", 96, 16},
}

// compression is how the kernel names a compression transform.
type compression struct {
	comp transform.COMP
	name string
}

// compressions are what is offered: LZS is patented and LZJH for modems.
var compressions = [...]compression{{transform.COMP_DEFLATE, "deflate"}}

// findCompression finds a transform.
func findCompression(sa kernel.SA) (compression, error) {
	for _, c := range compressions {
		if c.comp == sa.Comp {
			return c, nil
		}
	}
	return compression{}, fmt.Errorf("%v: %v: %w", sa, sa.Comp, kernel.ErrUnsupported)
}

// compOf is the transform of a name; COMP_NONE when it is unknown.
func compOf(name string) transform.COMP {
	for _, c := range compressions {
		if c.name == name {
			return c.comp
		}
	}
	return transform.COMP_NONE
}

// findCipher finds a transform and checks the length of its key.
func findCipher(sa kernel.SA) (cipher, error) {
	for _, c := range ciphers {
		if c.encr != sa.Encr {
			continue
		}
		for _, n := range c.keys {
			if n == len(sa.EncrKey) {
				return c, nil
			}
		}
		return cipher{}, fmt.Errorf("%v: a key of %d octets does not fit %s", sa, len(sa.EncrKey), c.name)
	}
	return cipher{}, fmt.Errorf("%v: %v: %w", sa, sa.Encr, kernel.ErrUnsupported)
}

// findMAC finds a transform and checks the length of its key.
func findMAC(sa kernel.SA) (mac, error) {
	for _, m := range macs {
		if m.integ != sa.Integ {
			continue
		}
		if m.key != len(sa.IntegKey) {
			return mac{}, fmt.Errorf("%v: a key of %d octets does not fit %s", sa, len(sa.IntegKey), m.name)
		}
		return m, nil
	}
	return mac{}, fmt.Errorf("%v: %v: %w", sa, sa.Integ, kernel.ErrUnsupported)
}

// encrOf is the transform of a name and an ICV length; 0 when it is unknown.
func encrOf(name string, icv uint32) transform.ENCR {
	for _, c := range ciphers {
		if c.name == name && c.icv == icv {
			return c.encr
		}
	}
	return 0
}

// integOf is the transform of a name and an ICV length.
func integOf(name string, icv uint32) transform.INTEG {
	for _, m := range macs {
		if m.name == name && m.icv == icv {
			return m.integ
		}
	}
	return transform.AUTH_NONE
}

func toName(s string) (n algorithmName) {
	copy(n[:len(n)-1], s)
	return n
}

func (n algorithmName) String() string {
	s, _, _ := bytes.Cut(n[:], []byte{0})
	return string(s)
}
