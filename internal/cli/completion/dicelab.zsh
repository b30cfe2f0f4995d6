#compdef dicelab
# Completion of dicelab in zsh. Load it with: source <(dicelab completion zsh)
# or write it to a file _dicelab in a directory of $fpath.
_dicelab() {
	local -a candidates
	local value help
	while IFS=$'\t' read -r value help; do
		candidates+=("${value//:/\\:}${help:+:$help}")
	done < <("${words[1]}" complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)
	if (( ${#candidates} )); then
		_describe dicelab candidates
	else
		_files
	fi
}
if [[ $funcstack[1] == _dicelab ]]; then
	_dicelab "$@"
else
	compdef _dicelab dicelab
fi
