package userspace

import (
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// capabilities is what this package can do on every host. Marks, XFRM interfaces
// and offload belong to kernels that carry ESP themselves.
var capabilities = kernel.Capabilities{
	ESN: true, MaxReplay: maxReplay, PortRanges: true, ByteLifetimes: true,
	Migrate: true, MSS: true, Bundles: true, AH: true, Comp: []transform.COMP{transform.COMP_DEFLATE},
	Encap: true, Fragments: true, UpdateSA: true, Mapping: true, KeepsND: true,
	Encr: []transform.ENCR{
		transform.ENCR_AES_GCM_16, transform.ENCR_AES_GCM_12, transform.ENCR_AES_GCM_8, transform.ENCR_CHACHA20_POLY1305,
		transform.ENCR_AES_GCM_16_IIV, transform.ENCR_CHACHA20_POLY1305_IIV, transform.ENCR_AES_CCM_8_IIV,
		transform.ENCR_NULL_AUTH_AES_GMAC,
		transform.ENCR_AES_CCM_16, transform.ENCR_AES_CCM_12, transform.ENCR_AES_CCM_8,
		transform.ENCR_AES_CBC, transform.ENCR_AES_CTR, transform.ENCR_3DES, transform.ENCR_DES, transform.ENCR_NULL,
	},
	Integ: []transform.INTEG{
		transform.AUTH_NONE, transform.AUTH_HMAC_SHA2_256_128, transform.AUTH_HMAC_SHA2_384_192,
		transform.AUTH_HMAC_SHA2_512_256, transform.AUTH_AES_CMAC_96, transform.AUTH_AES_XCBC_96,
		transform.AUTH_HMAC_SHA1_96, transform.AUTH_HMAC_MD5_96,
	},
}

// Capabilities says what this package can do on every host, without opening anything.
func Capabilities() kernel.Capabilities { return capabilities }
