package config

import (
	"slices"
	"time"

	t "racoon2/ikev2/transform"
)

// The built-in values of KINK where they are not IKEv2's: the original's kinkd
// sends five times, at first after a second, and keeps an inbound SA for ten
// seconds after its deletion.
const (
	defaultKINKInterval = time.Second
	defaultKINKRetries  = 4
	defaultKINKGrace    = 10 * time.Second
)

// kink reads the settings for KINK.
func (r *resolver) kink(remote *Remote, v view) *KINK {
	k := &KINK{
		Common:            r.common(v, KMPKINK),
		MyPrincipal:       get(v, "my_principal", ""),
		MyPrincipalPos:    v.writtenAt("my_principal"),
		PeersPrincipal:    get(v, "peers_principal", ""),
		PeersPrincipalPos: v.writtenAt("peers_principal"),
		Keytab:            get(v, "keytab", ""),
		KeytabPos:         v.writtenAt("keytab"),
		CCache:            get(v, "ccache", ""),
		KRB5Conf:          get(v, "krb5_conf", ""),
		KRB5ConfPos:       v.writtenAt("krb5_conf"),
		AESSHA1PRF:        int(get(v, "aes_sha1_prf", uint8(20))),
		UserToUser:        UserToUser(get(v, "user_to_user", uint8(UserToUserAllow))),
		ThreeWay:          get(v, "three_way", false),
	}
	k.MaxRetryToSend = get(v, "max_retry_to_send", defaultKINKRetries)
	k.IntervalToSend = get(v, "interval_to_send", defaultKINKInterval)
	k.GracePeriod = get(v, "kmp_sa_grace_period", defaultKINKGrace)
	for _, c := range get[[]choice](v, "enctypes", nil) {
		if slices.Contains(k.EncTypes, int(c.value)) {
			r.advise("repeated", c.item, "remove it", "%s is in enctypes already", clip(c.item.Text))
			continue
		}
		k.EncTypes = append(k.EncTypes, int(c.value))
		if c.value == 16 || c.value == 23 {
			r.warnf("weak-algorithm", c.item, "use the AES types", "%s is weak: RFC 8429 deprecates it", clip(c.item.Text))
		}
	}
	if len(k.EncTypes) == 0 {
		k.EncTypes = []int{18, 20, 19, 17} // what explain says; RFC 8429 deprecates the rest
	}
	if e := v.get("kmp_dh_group"); e != nil {
		k.KE, _ = listOf[t.KE](e, nil) // what is left out was said
	} else if k.NeedPFS {
		k.KE = slices.Clone(defaultKE)
	}
	r.peerless[remote] = k.PeersIPAddr == nil && !v.lacks("peers_ipaddr")
	r.checkCommon(v, &k.Common, KMPKINK)
	r.checkPrincipals(remote, v)
	return k
}

// checkPrincipals points out KINK without the names that Kerberos needs.
func (r *resolver) checkPrincipals(remote *Remote, v view) {
	if v.lacks("my_principal") {
		r.advise("no-principal", at(v.pos(), "kink"), `add: my_principal "kink/host.example.org@EXAMPLE.ORG";`,
			"remote %s has a kink block without my_principal: the name of this host is taken", clip(remote.Name))
	}
	if v.lacks("peers_principal") {
		r.advise("no-principal", at(v.pos(), "kink"), `add: peers_principal "kink/host.example.org@EXAMPLE.ORG";`,
			"remote %s has a kink block without peers_principal: the names of its selectors' destinations are taken", clip(remote.Name))
	}
}
