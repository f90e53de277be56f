// Package isakmp is the codec of the Quick Mode payloads inside KINK_ISAKMP
// (RFC 4430 §5; RFC 2408 §3, RFC 2407 §4): SA with proposals and transforms, KE,
// ID, NONCE, N and D. It also maps the IPsec DOI's numbers to those of
// ikev2/transform and kernel.
//
// It knows no cryptography, chooses among no proposals and keeps no state. There
// is no ISAKMP header, no HASH and no phase 1 payload in KINK. Decoding is
// strict; its errors say which notification answers them.
//
// Known limits: ESP algorithms alone are mapped. AH, IPComp and bundles are
// decoded and encoded, but have no Suite.
package isakmp
