package message

// PayloadType is a payload number (RFC 7296 §3.2).
type PayloadType uint8

// ExchangeType is an exchange number (RFC 7296 §3.1).
type ExchangeType uint8

// Protocol is a security protocol identifier (RFC 7296 §3.3.1).
type Protocol uint8

// IDType is an identification type (RFC 7296 §3.5).
type IDType uint8

// AuthMethod is an authentication method (RFC 7296 §3.8).
type AuthMethod uint8

// NotifyType is a notify message type (RFC 7296 §3.10.1); below 16384 it is an error.
type NotifyType uint16

// Payload types.
const (
	NoNextPayload  PayloadType = 0
	PayloadSA      PayloadType = 33
	PayloadKE      PayloadType = 34
	PayloadIDi     PayloadType = 35
	PayloadIDr     PayloadType = 36
	PayloadCERT    PayloadType = 37
	PayloadCERTREQ PayloadType = 38
	PayloadAUTH    PayloadType = 39
	PayloadNonce   PayloadType = 40
	PayloadNotify  PayloadType = 41
	PayloadDelete  PayloadType = 42
	PayloadVendor  PayloadType = 43
	PayloadTSi     PayloadType = 44
	PayloadTSr     PayloadType = 45
	PayloadSK      PayloadType = 46
	PayloadCP      PayloadType = 47
	PayloadEAP     PayloadType = 48
	PayloadSKF     PayloadType = 53
)

// Exchange types.
const (
	IKE_SA_INIT     ExchangeType = 34
	IKE_AUTH        ExchangeType = 35
	CREATE_CHILD_SA ExchangeType = 36
	INFORMATIONAL   ExchangeType = 37
)

// Security protocols.
const (
	ProtocolNone Protocol = 0
	ProtocolIKE  Protocol = 1
	ProtocolAH   Protocol = 2
	ProtocolESP  Protocol = 3
)

// Identification types.
const (
	ID_IPV4_ADDR   IDType = 1
	ID_FQDN        IDType = 2
	ID_RFC822_ADDR IDType = 3
	ID_IPV6_ADDR   IDType = 5
	ID_DER_ASN1_DN IDType = 9
	ID_DER_ASN1_GN IDType = 10
	ID_KEY_ID      IDType = 11
	ID_NULL        IDType = 13 // RFC 7619 §2.2
)

// Authentication methods.
const (
	AuthRSA              AuthMethod = 1
	AuthSharedKey        AuthMethod = 2
	AuthDSS              AuthMethod = 3
	AuthNull             AuthMethod = 13
	AuthDigitalSignature AuthMethod = 14
)

// Notify types.
const (
	UNSUPPORTED_CRITICAL_PAYLOAD NotifyType = 1
	INVALID_IKE_SPI              NotifyType = 4
	INVALID_MAJOR_VERSION        NotifyType = 5
	INVALID_SYNTAX               NotifyType = 7
	INVALID_MESSAGE_ID           NotifyType = 9
	INVALID_SPI                  NotifyType = 11
	NO_PROPOSAL_CHOSEN           NotifyType = 14
	INVALID_KE_PAYLOAD           NotifyType = 17
	AUTHENTICATION_FAILED        NotifyType = 24
	SINGLE_PAIR_REQUIRED         NotifyType = 34
	NO_ADDITIONAL_SAS            NotifyType = 35
	INTERNAL_ADDRESS_FAILURE     NotifyType = 36
	FAILED_CP_REQUIRED           NotifyType = 37
	TS_UNACCEPTABLE              NotifyType = 38
	INVALID_SELECTORS            NotifyType = 39
	UNACCEPTABLE_ADDRESSES       NotifyType = 40 // RFC 4555 §4.1
	UNEXPECTED_NAT_DETECTED      NotifyType = 41
	TEMPORARY_FAILURE            NotifyType = 43
	CHILD_SA_NOT_FOUND           NotifyType = 44

	INITIAL_CONTACT               NotifyType = 16384
	SET_WINDOW_SIZE               NotifyType = 16385
	ADDITIONAL_TS_POSSIBLE        NotifyType = 16386
	IPCOMP_SUPPORTED              NotifyType = 16387
	NAT_DETECTION_SOURCE_IP       NotifyType = 16388
	NAT_DETECTION_DESTINATION_IP  NotifyType = 16389
	COOKIE                        NotifyType = 16390
	USE_TRANSPORT_MODE            NotifyType = 16391
	HTTP_CERT_LOOKUP_SUPPORTED    NotifyType = 16392
	REKEY_SA                      NotifyType = 16393
	ESP_TFC_PADDING_NOT_SUPPORTED NotifyType = 16394
	NON_FIRST_FRAGMENTS_ALSO      NotifyType = 16395
	MOBIKE_SUPPORTED              NotifyType = 16396 // RFC 4555 §4.2
	ADDITIONAL_IP4_ADDRESS        NotifyType = 16397
	ADDITIONAL_IP6_ADDRESS        NotifyType = 16398
	NO_ADDITIONAL_ADDRESSES       NotifyType = 16399
	UPDATE_SA_ADDRESSES           NotifyType = 16400
	COOKIE2                       NotifyType = 16401
	NO_NATS_ALLOWED               NotifyType = 16402
	AUTH_LIFETIME                 NotifyType = 16403 // RFC 4478 §3
	CHILDLESS_IKEV2_SUPPORTED     NotifyType = 16418 // RFC 6023 §3
	IKEV2_FRAGMENTATION_SUPPORTED NotifyType = 16430 // RFC 7383 §2.3
	USE_PPK                       NotifyType = 16435 // RFC 8784 §3
	PPK_IDENTITY                  NotifyType = 16436
	NO_PPK_AUTH                   NotifyType = 16437
)
