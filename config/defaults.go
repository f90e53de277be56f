package config

import (
	"time"

	t "racoon2/ikev2/transform"
)

// The built-in values: what holds where neither a section nor default says
// anything. Where they differ from the original's the reason stands here.
const (
	defaultLifetime      = 86400 * time.Second // of an IKE SA
	defaultChildLifetime = 3600 * time.Second
	defaultNegotiation   = 600 * time.Second
	defaultNonce         = 32 // octets; RFC 7296 §2.10 asks for 16 and half the PRF's key

	// The original sends eleven times, beginning with one second. Two seconds
	// suit a peer that computes; six retransmissions take the four minutes that
	// RFC 7296 §2.4 means by "several".
	defaultInterval = 2 * time.Second
	defaultRetries  = 6

	// The original looks for a dead peer once an hour, which leaves a tunnel
	// dead for an hour.
	defaultDPDDelay = 60 * time.Second

	// RFC 4303 §3.4.3 asks for 64 by default; networks have become faster.
	defaultReplayWindow = 128
	maxReplayWindow     = 4096 // packets

	defaultIKEPort  = 500
	defaultNATPort  = 4500
	defaultKINKPort = 910
	defaultSPMDPort = 9555
	defaultDNSPort  = 53
	defaultRADIUS   = 1812

	defaultTLSPort = 853

	defaultMetricsPort = 9580
)

// The built-in values of the resolver; they are those of its settings.
const (
	defaultCacheSize    = 10000 // answers
	defaultTTLFloor     = 5 * time.Second
	defaultTTLCeiling   = 24 * time.Hour
	defaultGateTime     = time.Second
	defaultAddressGrace = time.Minute
)

// The built-in algorithms (RFC 8247, RFC 8221): AEADs first.
var (
	defaultAEAD = []Encryption{
		{t.ENCR_AES_GCM_16, 256}, {t.ENCR_AES_GCM_16, 128}, {t.ENCR_CHACHA20_POLY1305, 0},
	}
	defaultPlain = []Encryption{{t.ENCR_AES_CBC, 256}, {t.ENCR_AES_CBC, 128}}
	defaultPRF   = []t.PRF{t.PRF_HMAC_SHA2_256, t.PRF_HMAC_SHA2_384, t.PRF_HMAC_SHA2_512}
	defaultInteg = []t.INTEG{t.AUTH_HMAC_SHA2_256_128, t.AUTH_HMAC_SHA2_384_192, t.AUTH_HMAC_SHA2_512_256}
	defaultKE    = []t.KE{t.KE_CURVE25519, t.KE_ECP_256, t.KE_ECP_384, t.KE_MODP_2048}
)

// defaultEncryption is the built-in list in the form of a written one.
func defaultEncryption() encryptionSet {
	return encryptionSet{aead: defaultAEAD, plain: defaultPlain, aeadFirst: true}
}
