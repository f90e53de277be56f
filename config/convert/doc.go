// Package convert turns the configuration of other key-exchange agents into
// racoon2.conf: racoon.conf of ipsec-tools with its setkey and psk.txt files,
// swanctl.conf and ipsec.conf with ipsec.secrets.
//
// It owns the languages of those files, what their words mean in racoon2's, and
// the report about what has no counterpart. Convert is a function from text to
// text: it reads and writes no file, and secrets leave it in Result.Keys alone,
// never in the configuration, the report or an error.
//
// Nothing vanishes. Every directive that is read is named in a comment of the
// result by its line, or stands in the report with the reason and what to do.
// What racoon2 can do is not known here: each line is shown to config, and one
// that config would refuse or ignore goes into the report with config's reason.
// Thus the result always loads without errors.
//
// Remotes of racoon.conf speak IKEv1 (RFC 2409); here they become IKEv2
// (RFC 7296), so the peer must be changed too. Authentication other than by a
// pre-shared key is reported, and the remote asks for a key that is yet to be
// agreed: the agent does not start before the file exists.
//
// Known limits: ipsec.conf's left is taken for this host; traffic selectors that
// are ranges of addresses or ports are reported; secrets in other files than the
// ones given are not looked for.
package convert
