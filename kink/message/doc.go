// Package message is the wire codec of KINK (RFC 4430 §4): header, payloads,
// their alignment, the place of the checksum and the frame inside KINK_ENCRYPT.
//
// It knows no cryptography (checksums and encryption are the caller's
// functions), no Kerberos (AP-REQ, AP-REP, KRB-ERROR and tickets are opaque), no
// Quick Mode (package isakmp) and keeps no state.
//
// Decoding is strict: what RFC 4430 does not allow is refused with the KINK
// error that answers it, except reserved fields, which MUST be ignored (§4), and
// octets after the message's Length, which are not forbidden. All memory is
// bounded by the size of the datagram.
//
// Known limits: draft layouts before RFC 4430 are not understood.
package message
