package isakmp

// Protocol is a protocol identifier of the IPsec DOI (RFC 2407 §4.4.1).
type Protocol uint8

// The protocols.
const (
	PROTO_ISAKMP    Protocol = 1
	PROTO_IPSEC_AH  Protocol = 2
	PROTO_IPSEC_ESP Protocol = 3
	PROTO_IPCOMP    Protocol = 4
)

// IDType is an identification type (RFC 2407 §4.6.2.1), restricted by RFC 4430 §5.3.
type IDType uint8

// The identification types.
const (
	ID_IPV4_ADDR        IDType = 1
	ID_IPV4_ADDR_SUBNET IDType = 4
	ID_IPV6_ADDR        IDType = 5
	ID_IPV6_ADDR_SUBNET IDType = 6
	ID_IPV4_ADDR_RANGE  IDType = 7
	ID_IPV6_ADDR_RANGE  IDType = 8
)

// NotifyType is a notify message type (RFC 2408 §3.14.1). Types below 16384 are errors.
type NotifyType uint16

// The notify message types that KINK uses (RFC 4430 §5.5), and status types that
// may come (RFC 2407 §4.6.3).
const (
	INVALID_PAYLOAD_TYPE NotifyType = 1
	INVALID_SPI          NotifyType = 11
	NO_PROPOSAL_CHOSEN   NotifyType = 14
	PAYLOAD_MALFORMED    NotifyType = 16
	CONNECTED            NotifyType = 16384
	RESPONDER_LIFETIME   NotifyType = 24576
	REPLAY_STATUS        NotifyType = 24577
	INITIAL_CONTACT      NotifyType = 24578
)

// Failure says that the type reports an error (RFC 2408 §3.14.1).
func (t NotifyType) Failure() bool { return t < 16384 }

// AttributeType is a class of SA attributes (RFC 2407 §4.5).
type AttributeType uint16

// The classes of RFC 4430 §5.1, and Group Description, which KE needs.
const (
	SA_LIFE_TYPE             AttributeType = 1
	SA_LIFE_DURATION         AttributeType = 2
	GROUP_DESCRIPTION        AttributeType = 3
	ENCAPSULATION_MODE       AttributeType = 4
	AUTHENTICATION_ALGORITHM AttributeType = 5
	KEY_LENGTH               AttributeType = 6
	KEY_ROUNDS               AttributeType = 7
)

// Values of SA_LIFE_TYPE and ENCAPSULATION_MODE (RFC 2407 §4.5).
const (
	lifeSeconds   = 1
	lifeKilobytes = 2
	modeTunnel    = 1
	modeTransport = 2
)

// Transform identifiers of ESP (RFC 2407 §4.4.4; RFC 3602, RFC 3686, RFC 4309,
// RFC 4106, RFC 4543).
const (
	ESP_DES           = 2
	ESP_3DES          = 3
	ESP_NULL          = 11
	ESP_AES           = 12
	ESP_AES_CTR       = 13
	ESP_AES_CCM_8     = 14
	ESP_AES_CCM_12    = 15
	ESP_AES_CCM_16    = 16
	ESP_AES_GCM_8     = 18
	ESP_AES_GCM_12    = 19
	ESP_AES_GCM_16    = 20
	ESP_NULL_AES_GMAC = 23
)

// Transform identifiers of AH (RFC 2407 §4.4.3; RFC 4868 §2.5, RFC 3566 §4.2). AH_DES is
// not built.
const (
	AH_MD5          = 2
	AH_SHA          = 3
	AH_SHA2_256     = 5
	AH_SHA2_384     = 6
	AH_SHA2_512     = 7
	AH_AES_XCBC_MAC = 9
)

// Transform identifiers of IPComp (RFC 2407 §4.4.5; RFC 3051).
const (
	IPCOMP_DEFLATE = 2
	IPCOMP_LZS     = 3
	IPCOMP_LZJH    = 4
)

// Values of AUTHENTICATION_ALGORITHM (RFC 2407 §4.5; RFC 4868 §2.5, RFC 3566 §4.1).
const (
	authHMACMD5    = 1
	authHMACSHA    = 2
	authHMACSHA256 = 5
	authHMACSHA384 = 6
	authHMACSHA512 = 7
	authAESXCBC    = 9
)
