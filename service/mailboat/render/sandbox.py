"""Jinja's immutable sandbox, made fast, and capped where one operation could take all time or memory.

Same checks and same output as `ImmutableSandboxedEnvironment`, except that a dict's key wins over a method of the
same name (`order.items` is the data), and that an undefined value may be tested and looped over but not printed.
What is generated for attributes, calls and output goes through functions of ours (`_get`, `_call`, `_escape`,
`_print`) that take the common cases without a detour.
"""

from __future__ import annotations

import difflib
import functools
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from types import BuiltinMethodType, CodeType, MethodType
from typing import Any, NoReturn

import markupsafe
from jinja2 import BaseLoader, Environment, Template, TemplateNotFound, TemplateRuntimeError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.environment import TemplateModule
from jinja2.filters import do_format
from jinja2.lexer import Lexer
from jinja2.runtime import Context, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from markupsafe import EscapeFormatter, Markup, escape

from mailboat.render import columns, filters
from mailboat.render.markup import Origin

LARGEST_SIZE = 1 << 20
"""Widths, counts and repetitions above this are refused."""
LARGEST_INTEGER = 4096
"""Bits of a product or power."""

_escape_text: Callable[[str], str] = vars(markupsafe)["_escape_inner"]  # `escape` without the Markup around it
_MISSING = object()
_DICT_NAMES = frozenset(dir(dict))
_HARMLESS_FORMAT = re.compile(r"(?:[^{}]|\{\{|\}\}|\{\d*(?::[^{}]*)?\})*+\Z")  # no attribute, index or nested field
_HUGE_NUMBER = re.compile(r"\d{5,}")
_HUGE_PERCENT = re.compile(r"%(?:\([^()%]{0,100}\))?[-+ #0]{0,20}(?:\d{5,}|\d{0,4}\.\d{5,})")
_STR_NAMES = frozenset(name for name in dir(str) if not name.startswith("_")) - {"format_map"}
_SIZED_FILTERS = ("batch", "center", "indent", "round", "slice", "truncate", "wordwrap")


class LimitError(TemplateRuntimeError):
    """An operation that would take too much."""


class Missing(Undefined):
    """Falsy and empty, but an error when printed: a typo must not become an empty mail."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        if not isinstance(self._undefined_name, str):
            return f"element {self._undefined_name!r} is undefined"
        known = [name for name in self._undefined_obj if isinstance(name, str)] if self._has_few_names() else []
        close = difflib.get_close_matches(self._undefined_name, known, 1)
        return f"{self._undefined_name!r} is undefined" + (f"; did you mean {close[0]!r}?" if close else "")

    def _has_few_names(self) -> bool:
        return isinstance(self._undefined_obj, dict) and len(self._undefined_obj) <= 200

    __str__ = Undefined._fail_with_undefined_error


# Caps


def _check_sizes(name: str, values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, int) and abs(value) > LARGEST_SIZE:
            raise LimitError(f"{name}: {LARGEST_SIZE} is the largest number allowed here")


def _check_product(left: Any, right: Any) -> None:
    for sequence, count in ((left, right), (right, left)):
        if isinstance(sequence, (str, bytes, list, tuple)) and isinstance(count, int):
            if len(sequence) * count > LARGEST_SIZE:
                raise LimitError(f"*: more than {LARGEST_SIZE} elements")
            return
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > LARGEST_INTEGER:
        raise LimitError("*: the number is too large")


def _check_power(base: Any, exponent: Any) -> None:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and abs(exponent) * max(base.bit_length(), 1) > LARGEST_INTEGER:
        raise LimitError("**: the number is too large")


def _check_percent(left: Any, right: Any) -> None:
    text = left.decode("latin-1") if isinstance(left, bytes) else left
    if not isinstance(text, str):
        return
    if _HUGE_PERCENT.search(text):
        raise LimitError("%: the width is too large")
    if "*" in text:
        _check_sizes("%", right if isinstance(right, tuple) else (right,))


OPERATORS: dict[str, Callable[[Any, Any], None]] = {"*": _check_product, "**": _check_power, "%": _check_percent}


def _check_method(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse a method of a string, bytes or number whose result would be too large."""
    name, owner = function.__name__, function.__self__
    if not isinstance(owner, (str, bytes, int)) or name in ("format", "format_map"):
        return
    _check_sizes(name, (*args, *kwargs.values()))
    if (
        name == "replace"
        and not isinstance(owner, int)
        and len(args) >= 2
        and (len(owner) + 1) * len(args[1]) > 64 * LARGEST_SIZE
    ):
        raise LimitError("replace: the result is too large")


def _sized(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that refuses huge widths and counts."""

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        _check_sizes(name, (*args[1:], *kwargs.values()))
        return function(*args, **kwargs)

    return checked


def _format(value: str, *args: Any, **kwargs: Any) -> str:
    """The filter `format`, which is `%`."""
    _check_percent(value, args)
    return do_format(value, *args, **kwargs)


class _Formatter(SandboxedFormatter):
    def format_field(self, value: Any, format_spec: str) -> Any:
        if _HUGE_NUMBER.search(format_spec):
            raise LimitError("format: the width is too large")
        return super().format_field(value, format_spec)


class _EscapeFormatter(_Formatter, EscapeFormatter):
    pass


# Generated code


def _escape(value: Any) -> str:
    """`escape`, without making a Markup for what is only joined to the output."""
    kind = type(value)
    if kind is str:
        return _escape_text(value)
    if isinstance(value, Markup):
        return value
    if kind is int or kind is float:
        return str(value)
    return str(escape(_printable(value)))


def _print(value: Any) -> str:
    """What is joined to an output that is no HTML."""
    return str(_printable(value))


def _printable(value: Any) -> Any:
    """The value, unless all that Python could print of it is an address in memory."""
    if isinstance(value, Undefined) or hasattr(value, "__html__"):
        return value
    if callable(value):
        name = getattr(value, "name" if isinstance(value, Macro) else "__name__", None) or type(value).__name__
        name = name.removeprefix("safe_")  # Jinja's `range` in a sandbox
        raise TemplateRuntimeError(f"{name!r} is a function and cannot be printed: call it, as in {name}()")
    if isinstance(value, Iterator):
        raise TemplateRuntimeError("a sequence of a filter cannot be printed: end with |join(', ') or |list")
    return value


class Generator(CodeGenerator):
    """Writes calls of `_get`, `_call` and `_escape`; folds no constants, which could run a filter at compile time."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, (nodes.TemplateData, nodes.Const)):
            raise nodes.Impossible
        const: str = super()._output_child_to_const(node, frame, finalize)
        return const

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.autoescape and not frame.eval_ctx.volatile:
            self.write("_escape(")
        elif not frame.eval_ctx.volatile:
            self.write("_print(")
        else:
            super()._output_child_pre(node, frame, finalize)

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802
        self.write("_get(")
        self.visit(node.node, frame)
        self.write(f", {node.attr!r})")

    def visit_Call(  # noqa: N802
        self, node: nodes.Call, frame: Frame, forward_caller: bool = False
    ) -> None:
        """No `_loop_vars` and `_block_vars`: only functions with @pass_context want them, and a template has none."""
        self.write("_call(context, ")
        self.visit(node.node, frame)
        self.signature(node, frame, {"caller": "caller"} if forward_caller else None)
        self.write(")")


class SandboxedTemplate(Template):
    environment: Sandbox

    @classmethod
    def from_code(
        cls,
        environment: Environment,
        code: CodeType,
        globals: MutableMapping[str, Any],  # noqa: A002 (Jinja's name)
        uptodate: Callable[[], bool] | None = None,
    ) -> Template:
        assert isinstance(environment, Sandbox)
        namespace = {
            "environment": environment,
            "__file__": code.co_filename,
            "_get": environment.getattr,
            "_call": environment.call,
            "_escape": _escape,
            "_print": _print,
        }
        exec(code, namespace)  # noqa: S102 (code that we compiled)
        return cls._from_namespace(environment, namespace, globals)

    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        """A new one each time: a cached one would carry what one mail set into the next."""
        return self.make_module()


class Files(BaseLoader):
    """The compiled files of one revision."""

    def __init__(self) -> None:
        self.templates: dict[str, Template] = {}

    def load(
        self,
        environment: Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 (Jinja's name)
    ) -> Template:
        if name not in self.templates:
            raise TemplateNotFound(name)
        return self.templates[name]


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one revision. `autoescape(name)` says of each file whether it is HTML.

    `origins`: of the files that were edited before they are compiled, the way back to the author's.  `used`: the names
    of the filters in all that was compiled.  Globals that are set before a render, such as `locale`, reach all files.
    """

    code_generator_class = Generator
    template_class = SandboxedTemplate
    intercepted_binops = frozenset(OPERATORS)

    def __init__(self, autoescape: Callable[[str | None], bool]) -> None:
        self.files = Files()
        self.origins: dict[str, Origin] = {}
        self.used: set[str] = set()
        super().__init__(autoescape=autoescape, undefined=Missing, optimized=False, cache_size=0, loader=self.files)
        for name in _SIZED_FILTERS:
            self.filters[name] = _sized(name, self.filters[name])
        del self.globals["lipsum"]  # nobody mails filler text
        self.filters["format"] = _format
        self.filters.update(filters.FILTERS)
        self.globals.update(locale=None, t={}, tr=filters.tr)

    def add(self, name: str, code: CodeType) -> None:
        """Take a file that another Sandbox compiled."""
        self.files.templates[name] = self.template_class.from_code(self, code, self.globals)

    def handle_exception(self, source: str | None = None) -> NoReturn:
        """As it is: Jinja would build tracebacks with as many lines as a place counts."""
        raise

    @property
    def lexer(self) -> Lexer:
        return columns.lexer_of(self.origins) if self.origins else columns.lexer()

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        columns.start_outputs_at_their_left(tree)
        self.used.update(node.name for node in tree.find_all(nodes.Filter))
        return tree

    def join_path(self, template: str, parent: str) -> str:
        """`./` and `../` are seen from the file that includes; anything else from the top."""
        if not template.startswith(("./", "../")):
            return template
        return posixpath.normpath(posixpath.join(posixpath.dirname(parent), template))

    def getattr(self, obj: Any, attribute: str) -> Any:
        kind = type(obj)
        if kind is dict:
            value = obj.get(attribute, _MISSING)
            if value is not _MISSING:
                return value
            if attribute not in _DICT_NAMES:
                return Missing(obj=obj, name=attribute)
        elif kind is str and attribute in _STR_NAMES and (attribute != "format" or _is_harmless(obj)):
            return getattr(obj, attribute)
        elif kind is TemplateModule and not attribute.startswith("_"):
            value = vars(obj).get(attribute, _MISSING)  # what an imported template defines
            if value is not _MISSING:
                return value
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if not isinstance(value, (MethodType, BuiltinMethodType)) or value.__name__ not in ("format", "format_map"):
            return None
        text = value.__self__
        if not isinstance(text, str):
            return None
        formatter = _EscapeFormatter(self, escape=text.escape) if isinstance(text, Markup) else _Formatter(self)
        if value.__name__ == "format":
            return lambda *args, **kwargs: type(text)(formatter.vformat(text, args, kwargs))
        return lambda mapping: type(text)(formatter.vformat(text, (), mapping))

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        kind = type(function)
        if kind is Macro:
            plain = not (kwargs or function.caller or function.catch_kwargs or function.catch_varargs)
            if plain and len(args) == function._argument_count:
                return function._invoke(list(args), context.eval_ctx.autoescape)
        elif kind is BuiltinMethodType:
            _check_method(function, args, kwargs)
            if type(function.__self__) is str:
                return function(*args, **kwargs)
        elif kind is MethodType and isinstance(function.__self__, str):
            _check_method(function, args, kwargs)
        return super().call(context, function, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        OPERATORS[operator](left, right)
        return self.binop_table[operator](left, right)


def _is_harmless(text: str) -> bool:
    """A format string that can reach into nothing and has no huge width."""
    return len(text) < 4096 and not _HUGE_NUMBER.search(text) and _HARMLESS_FORMAT.match(text) is not None
