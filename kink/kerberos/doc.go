// Package kerberos is what KINK needs of Kerberos: the keys of this host, TGTs and
// service tickets, AP-REQ, AP-REP and KRB-ERROR, the checksum, the encryption and the
// prf of session keys, the replay cache, and the exchanges with KDCs. A Host is
// a kink.Kerberos; its Fetch answers kink.FetchTicket.
//
// It never looks into a PAC, never takes a client's name or realm from
// anywhere but the ticket, never uses subkeys, sequence numbers or GSS-API, and has
// no password: keys come from a keytab, TGTs also from a credential cache.
// Methods of kink.Kerberos never wait for the network; those that do take a context
// and are for jobs. Time and randomness are handed in, except that time-outs of
// sockets run on the system's clock.
//
// Messages, encryption types, checksums and keytabs are gokrb5's, and nothing outside
// of this package knows it. What gokrb5 does not check is checked before it is called
// (asn1.go, suite.go, keytab.go), and a panic that is left is caught, counted and told
// (fault.go). What it gets wrong or cannot be given is ours: the order in which an AP-REQ is
// verified, the replay cache, AP-REP, the prf, the exchanges with KDCs, krb5.conf
// and credential caches; each file says why.
//
// RFCs: 3961, 3962, 8009, 4757 (encryption types 16 to 20 and 23), 4120 (messages),
// 1964 §2.1.3 (text of principals), 4430 (what KINK asks of all of them).
//
// Known limits: pre-authentication is PA-ENC-TIMESTAMP, without FAST and PKINIT;
// [capaths] is not read, the KDCs know the way between realms; referrals for service
// names are not followed, as principals name their realm; realms are not looked up in
// DNS; credential caches are files.
package kerberos
