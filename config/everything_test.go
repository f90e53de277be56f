package config

// everything has each directive of the language once, most of them at their
// least usual.
const everything = `
setval { KEYS "/etc/racoon2"; NET "10.1.0.0/16"; };
interface {
	ike { MY_IP port 500; MY_IPV4%eth0 port 4500; };
	kink MY_IPV6;
	spmd { unix "/run/racoon2/spmif"; 127.0.0.1; };
	spmd_password "${KEYS}/spmd.pwd";
	application_bypass off; kernel userspace; metrics 127.0.0.1 port 9100; log_format json;
};
resolver {
	resolver on; nameserver { 192.0.2.53; 192.0.2.54 port 8853 tls dns.example.org; dns.example.net tls; }; dns_query { 127.0.0.1; ::1 port domain; };
	cache_size 100; ttl_floor 1 min; ttl_ceiling 1 hour; serve_stale 1 day; prefetch on; gate_time 2; gate_outcome answer;
	address_grace_period 0; address_grace_action none; rate_limit 100; rate_burst 300; require_dnssec on; forward { "corp.test"; lan; };
};
default {
	remote {
		acceptable_kmp { ikev2; ikev1; };
		ikev1 { kmp_enc_alg aes128_cbc; };
		ikev2 { kmp_dh_group { ecp384; 31; }; dpd_delay 0; my_id fqdn "me.example.org"; pre_shared_key "${KEYS}/psk"; };
	};
	policy { ipsec_mode transport; };
	ipsec { ipsec_sa_lifetime_time 2 hours; };
	sa { esp_auth_alg { hmac_sha2_512; }; };
};
addresspool pool { 10.9.0.1 - 10.9.0.99; "fd00::1" - "fd00::ff"; 10.9.1.1-10.9.1.9; };
remote all {
	acceptable_kmp { ikev2; ikev1; kink; };
	selector_index in;
	ikev1 {
		exchange_mode main; my_gssapi_id "g"; dpd on; dpd_retry 5; dpd_maxfail 0x5; need_pfs on;
		my_public_key x509pem "a" "b"; peers_public_key ascii "c" "";
		kmp_enc_alg { aes256_cbc; blowfish_cbc,128; }; kmp_hash_alg { sha1; md5; }; kmp_prf_alg hmac_md5; kmp_dh_group 2;
	};
	kink { my_principal "kink/a@EXAMPLE.ORG"; peers_principal "kink/b@EXAMPLE.ORG"; keytab "/k"; ccache "/c"; krb5_conf "/e";
		enctypes { aes256-cts; rc4-hmac; }; aes_sha1_prf 16; user_to_user require; three_way on; peers_ipaddr 192.0.2.2;
		nonce_size 16 B; max_retry_to_send 5; interval_to_send 2; kmp_sa_grace_period 3 sec; dpd_delay 5 min;
		kmp_dh_group modp2048; need_pfs on; passive on;
		natd_public_address 192.0.2.1; nat_traversal off; my_id fqdn "a"; peers_id fqdn "b"; verify_id on; initial_contact on;
		selector_check exact; proposal_check obey; times_per_send 1; kmp_sa_lifetime_time 1 hour; kmp_sa_lifetime_byte 1 GB;
		kmp_sa_nego_time_limit 1 min; ipsec_sa_nego_time_limit 1 min; kmp_auth_method gssapi_krb; parent_child_strength off;
		random_pad_content off; random_padlen off; max_padlen 0; kmp_enc_alg aes_cbc; kmp_prf_alg hmac_md5; kmp_hash_alg sha1; };
	ikev2 {
		logmode debug; logfile "/var/log/racoon2"; passive on; use_coa off; mobility_role mobile;
		peers_ipaddr { 2001:db8::2 port 500; 192.0.2.2; }; peers_kmp_port 1500; natd_public_address 192.0.2.1;
		verify_id on; verify_pubkey off; send_cert off; send_cert_req off; support_proxy off;
		nonce_size 64 bytes; initial_contact on; nat_traversal force;
		my_id { fqdn "all.example.org"; keyid tag "k"; };
		peers_id { ipaddr IP_ANY; email "a@example.org"; keyid file "/k"; keyid "/l"; ipaddr 192.0.2.2; };
		selector_check exact; proposal_check claim;
		random_pad_content on; random_padlen off; max_padlen 50 B;
		max_retry_to_send 3; interval_to_send 10 sec; times_per_send 2;
		kmp_sa_lifetime_time infinite; kmp_sa_lifetime_byte 1 GB; kmp_sa_nego_time_limit 1 min; kmp_sa_grace_period 1 day;
		ipsec_sa_nego_time_limit 40 sec; parent_child_strength on;
		kmp_enc_alg { aes_cbc,256; aes_gcm; chacha20_poly1305; 3des_cbc; rijndael_cbc,,"key"; };
		kmp_prf_alg { hmac_sha1; sha2_256; aes_cmac; }; kmp_hash_alg { non_auth; hmac_sha2_256; };
		kmp_dh_group { curve25519; 14; modp1024; ecp521; };
		kmp_auth_method { psk; eap; };
		script { ike_sa_up "/up"; phase2_down "/down"; migration "/m"; };
		need_pfs on; auth_lifetime 2 hours; cookie_required on; fragmentation on; mobike on; send_peers_id on; max_ip4_alloc 1; max_ip6_alloc 1;
		request { ip4; dns; application_version; };
		provide { addresspool pool; dns { 192.0.2.53; }; dhcp 192.0.2.67; application_version "1"; mip6_home_prefix fd00::/64; };
		require_config_payload on; addke_required on; addke_unrequested on; offer_intermediate on;
		use_ppk on; ppk_mandatory on; ppk_id "p"; childless on; window_size 4;
		radius_server 192.0.2.9; radius_port radius; radius_secret_file "/r";
	};
};
remote heir { ikev2 { peers_ipaddr IP_RW; peers_id fqdn "heir.example.org"; eap { radius_server 192.0.2.9; }; }; };
selector out {
	order 1; direction outbound; src "${NET}" port 80; dst MY_IPV4%eth1/24 port http; upper_layer_protocol tcp;
	next_header_including esp; tagged "t"; policy_index plain; reqid 7;
};
selector in { direction inbound; src MY_IPV4%eth1/24 port 80; dst 10.1.0.0/16 port 80; upper_layer_protocol 6; policy_index plain; };
selector ping { direction outbound; src ::1; dst ::1; upper_layer_protocol ipv6-icmp 128 0; policy_index clear; };
policy plain {
	action auto_ipsec; install off; remote_index all; ipsec_index { both; authenticated; }; ipsec_mode tunnel; ipsec_level unique;
	my_sa_ipaddr MY_IPV6; peers_sa_ipaddr 2001:db8::2; initial_child_ke immediate;
	start on; sa_per_pair on; if_id 0x80000001; xfrm_interface ipsec0; mark 0x10/0xff; hw_offload crypto; mss_clamp pmtu;
};
policy roaming { action auto_ipsec; remote_index heir; };
policy fixed { action static_ipsec; ipsec_index keyed; peers_sa_ipaddr 192.0.2.2; };
ipsec keyed { sa_index keyed; };
sa keyed { sa_protocol ipcomp; spi 0x1000; };
policy clear { action bypass; };
policy drop { action discard; };
ipsec both { ipsec_sa_lifetime_time 90 min; ipsec_sa_lifetime_byte infinite; ext_sequence on; replay_window 1024; sa_index plain; };
ipsec authenticated { sa_index { plain; header; }; };
sa plain { sa_protocol esp; esp_enc_alg { aes_gcm,128; aes256_cbc; }; spi 0x100; esp_addke_alg mlkem768; };
sa header { sa_protocol ah; ah_auth_alg hmac_sha2_256; ah_addke_alg mlkem768; };
sa small { sa_protocol ipcomp; ipcomp_alg deflate; };
`
