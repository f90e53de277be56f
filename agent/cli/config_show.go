package cli

import (
	"github.com/spf13/cobra"

	"racoon2/config"
)

func (a *app) configShowCommand() *cobra.Command {
	var effective, asJSON bool
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Show a configuration with its origins",
		Long: "Show a configuration as one text: with its includes read and its substitutions\n" +
			"made, and behind each value the file and line it comes from. With --effective\n" +
			"each section also has what it inherits from default, and the built-in values;\n" +
			"that text means the same when it is read again. Key files are not read.",
		Example: "  racoon2 config show ./racoon2.conf\n  racoon2 config show --effective\n" +
			"  racoon2 config show --effective --json | jq '.[].origin'",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			a.configFrom(args)
			findings, err := a.showConfig(effective, asJSON)
			if err != nil {
				return failed(err)
			}
			if !findings.HasErrors() {
				return nil
			}
			if err := findings.WriteText(a.err); err != nil {
				return failed(err)
			}
			return &failure{status: statusUsage}
		},
	}
	cmd.Flags().BoolVar(&effective, "effective", false, "with what is inherited and built in")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array: of each line the depth, the text and its origin")
	return cmd
}

func (a *app) showConfig(effective, asJSON bool) (config.Findings, error) {
	if !asJSON {
		text, findings := config.Show(a.config, config.Options{}, effective)
		return findings, a.print(text)
	}
	lines, findings := config.ShowLines(a.config, config.Options{}, effective)
	return findings, a.printJSON(append([]config.ShownLine{}, lines...))
}
