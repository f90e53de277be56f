/*
 * What MIT's libkrb5 makes of the same octets, for the tests of this package.
 *
 *   oracle crypto ETYPE KEY DATA CIPHER   prf, checksum (usage 40), encryption of DATA
 *                                         (usage 39), and the decryption of CIPHER (usage 39)
 *   oracle mkreq SERVER                   an AP-REQ; reads the AP-REP and checks it
 *   oracle rdreq KEYTAB SERVER APREQ      checks an AP-REQ; prints the client and an AP-REP
 *
 * Octets are hexadecimal. Results are lines of a word and a value.
 */
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static krb5_context ctx;

static void must(krb5_error_code code, const char *what)
{
	if (code == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, krb5_get_error_message(ctx, code));
	exit(1);
}

static krb5_data unhex(const char *text)
{
	krb5_data out;
	unsigned int i, octet;

	memset(&out, 0, sizeof out);
	out.length = strlen(text) / 2;
	out.data = malloc(out.length + 1);
	for (i = 0; i < out.length; i++) {
		if (sscanf(text + 2 * i, "%2x", &octet) != 1)
			exit(2);
		out.data[i] = (char)octet;
	}
	return out;
}

static void print(const char *word, const void *octets, unsigned int length)
{
	unsigned int i;

	printf("%s ", word);
	for (i = 0; i < length; i++)
		printf("%02x", ((const unsigned char *)octets)[i]);
	printf("\n");
	fflush(stdout);
}

static void crypto(char **arg)
{
	krb5_keyblock key;
	krb5_data raw = unhex(arg[1]), data = unhex(arg[2]), prf, plain;
	krb5_enc_data in, out;
	krb5_checksum sum;
	size_t length;

	memset(&key, 0, sizeof key);
	key.enctype = atoi(arg[0]);
	key.length = raw.length;
	key.contents = (krb5_octet *)raw.data;

	must(krb5_c_prf_length(ctx, key.enctype, &length), "prf length");
	prf.length = length;
	prf.data = malloc(length);
	must(krb5_c_prf(ctx, &key, &data, &prf), "prf");
	print("prf", prf.data, prf.length);

	must(krb5_c_make_checksum(ctx, 0, &key, 40, &data, &sum), "checksum");
	print("sum", sum.contents, sum.length);

	must(krb5_c_encrypt_length(ctx, key.enctype, data.length, &length), "length");
	memset(&out, 0, sizeof out);
	out.ciphertext.length = length;
	out.ciphertext.data = malloc(length);
	must(krb5_c_encrypt(ctx, &key, 39, NULL, &data, &out), "encrypt");
	print("cipher", out.ciphertext.data, out.ciphertext.length);

	memset(&in, 0, sizeof in);
	in.enctype = key.enctype;
	in.ciphertext = unhex(arg[3]);
	plain.length = in.ciphertext.length;
	plain.data = malloc(plain.length + 1);
	must(krb5_c_decrypt(ctx, &key, 39, NULL, &in, &plain), "decrypt");
	print("plain", plain.data, plain.length);
}

static krb5_principal name(const char *text)
{
	krb5_principal p;

	must(krb5_parse_name(ctx, text, &p), text);
	return p;
}

static void mkreq(char **arg)
{
	krb5_auth_context auth = NULL;
	krb5_ap_rep_enc_part *part;
	krb5_ccache cache;
	krb5_creds want, *have;
	krb5_data req, rep;
	static char line[1 << 16];

	must(krb5_cc_default(ctx, &cache), "cache");
	memset(&want, 0, sizeof want);
	must(krb5_cc_get_principal(ctx, cache, &want.client), "client");
	want.server = name(arg[0]);
	must(krb5_get_credentials(ctx, 0, cache, &want, &have), "credentials");
	must(krb5_mk_req_extended(ctx, &auth, AP_OPTS_MUTUAL_REQUIRED, NULL, have, &req), "mk_req");
	print("req", req.data, req.length);
	if (fgets(line, sizeof line, stdin) == NULL)
		exit(2);
	line[strcspn(line, "\n")] = 0;
	rep = unhex(line);
	must(krb5_rd_rep(ctx, auth, &rep, &part), "rd_rep");
	printf("ok 1\n");
}

static void rdreq(char **arg)
{
	krb5_auth_context auth = NULL;
	krb5_keytab tab;
	krb5_ticket *ticket;
	krb5_data req = unhex(arg[2]), rep;
	krb5_flags options;
	char *client;

	must(krb5_kt_resolve(ctx, arg[0], &tab), "keytab");
	must(krb5_rd_req(ctx, &auth, &req, name(arg[1]), tab, &options, &ticket), "rd_req");
	must(krb5_unparse_name(ctx, ticket->enc_part2->client, &client), "client");
	printf("client %s\n", client);
	printf("options %08x\n", (unsigned int)options);
	must(krb5_mk_rep(ctx, auth, &rep), "mk_rep");
	print("rep", rep.data, rep.length);
}

int main(int count, char **arg)
{
	must(krb5_init_context(&ctx), "context");
	if (count == 6 && strcmp(arg[1], "crypto") == 0)
		crypto(arg + 2);
	else if (count == 3 && strcmp(arg[1], "mkreq") == 0)
		mkreq(arg + 2);
	else if (count == 5 && strcmp(arg[1], "rdreq") == 0)
		rdreq(arg + 2);
	else
		return 2;
	return 0;
}
