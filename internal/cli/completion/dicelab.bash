# Completion of dicelab in bash. Load it with: eval "$(dicelab completion bash)"
_dicelab() {
	local line=${COMP_LINE:0:COMP_POINT} value help
	local -a words
	read -ra words <<<"$line"
	[[ $line == *' ' ]] && words+=('')
	local last=${words[${#words[@]}-1]}
	local kept=${last%"${last##*[=:]}"} # readline replaces only what follows it
	COMPREPLY=()
	while IFS=$'\t' read -r value help; do
		COMPREPLY+=("${value#"$kept"}")
	done < <("${words[0]}" complete "${words[@]:1}" 2>/dev/null)
}
complete -o default -F _dicelab dicelab
