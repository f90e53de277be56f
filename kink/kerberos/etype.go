package kerberos

import (
	"fmt"
	"slices"
	"strings"
)

// EType is a Kerberos encryption type (RFC 3961 §8, IANA "Kerberos Encryption Type Numbers").
type EType int32

// The encryption types that this package has. DES (1, 2, 3) is refused everywhere (RFC 6649).
const (
	DES3_CBC_SHA1_KD           EType = 16 // RFC 3961 §6.3
	AES128_CTS_HMAC_SHA1_96    EType = 17 // RFC 3962
	AES256_CTS_HMAC_SHA1_96    EType = 18 // RFC 3962
	AES128_CTS_HMAC_SHA256_128 EType = 19 // RFC 8009
	AES256_CTS_HMAC_SHA384_192 EType = 20 // RFC 8009
	RC4_HMAC                   EType = 23 // RFC 4757
)

// DefaultETypes are the types used where nothing is configured, the preferred one
// first. 16 and 23 are deprecated (RFC 8429) and must be named to be used.
func DefaultETypes() []EType {
	return []EType{
		AES256_CTS_HMAC_SHA1_96, AES256_CTS_HMAC_SHA384_192,
		AES128_CTS_HMAC_SHA256_128, AES128_CTS_HMAC_SHA1_96,
	}
}

// String is the name in the IANA registry.
func (e EType) String() string {
	switch e {
	case DES3_CBC_SHA1_KD:
		return "des3-cbc-sha1-kd"
	case AES128_CTS_HMAC_SHA1_96:
		return "aes128-cts-hmac-sha1-96"
	case AES256_CTS_HMAC_SHA1_96:
		return "aes256-cts-hmac-sha1-96"
	case AES128_CTS_HMAC_SHA256_128:
		return "aes128-cts-hmac-sha256-128"
	case AES256_CTS_HMAC_SHA384_192:
		return "aes256-cts-hmac-sha384-192"
	case RC4_HMAC:
		return "rc4-hmac"
	}
	return fmt.Sprintf("etype %d", int32(e))
}

// ParseEType reads a registry name or one of the aliases that krb5.conf knows.
func ParseEType(name string) (EType, error) {
	switch strings.ToLower(name) {
	case "des3-cbc-sha1-kd", "des3-cbc-sha1", "des3-hmac-sha1":
		return DES3_CBC_SHA1_KD, nil
	case "aes128-cts-hmac-sha1-96", "aes128-cts", "aes128-sha1":
		return AES128_CTS_HMAC_SHA1_96, nil
	case "aes256-cts-hmac-sha1-96", "aes256-cts", "aes256-sha1":
		return AES256_CTS_HMAC_SHA1_96, nil
	case "aes128-cts-hmac-sha256-128", "aes128-sha2":
		return AES128_CTS_HMAC_SHA256_128, nil
	case "aes256-cts-hmac-sha384-192", "aes256-sha2":
		return AES256_CTS_HMAC_SHA384_192, nil
	case "rc4-hmac", "arcfour-hmac", "arcfour-hmac-md5":
		return RC4_HMAC, nil
	}
	return 0, fmt.Errorf("encryption type %q is not known; known are %s", name, etypeNames(append(DefaultETypes(), DES3_CBC_SHA1_KD, RC4_HMAC)))
}

func etypeNames(list []EType) string {
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.String()
	}
	return strings.Join(names, ", ")
}

// checkETypes refuses a list with types that this package does not have.
func checkETypes(list []EType) error {
	for i, e := range list {
		if e.suite() == nil {
			return fmt.Errorf("%v is not supported", e)
		}
		if slices.Contains(list[:i], e) {
			return fmt.Errorf("%v is listed twice", e)
		}
	}
	return nil
}
