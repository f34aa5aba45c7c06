"""The hot path's SQL: accept, claim, book and the reconciler's sweeps.

Batches travel as arrays, one array per column. Locks are taken in one order everywhere (usage, idempotency, queue; each
sorted by its key), and rows that others hold are skipped, so that no two statements here can wait for each other in
a circle. What a sweep has locked comes to its update as an array, which leads to the primary key whatever the planner
believes about a table that grows: joined, five thousand rows of half a million made it read them all.
"""

from __future__ import annotations

# Columns of one message on its way in, in the order of ACCEPT's parameters.
ACCEPT_COLUMNS = {
    "id": "uuid",
    "client_id": "integer",
    "key": "text",
    "digest": "bytea",
    "lane": "smallint",
    "run_at": "timestamptz",
    "template": "text",
    "revision": "text",
    "locale": "text",
    "envelope": "json",
    "data": "json",
    "content": "json",
    "headers": "json",
    "tags": "jsonb",
    "metadata": "json",
    "attachments": "json",
    "traceparent": "text",
}

_ITEMS = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(ACCEPT_COLUMNS.values(), 1))

# Books the quota and stores messages and queue rows: a client's messages all or none. `known` are ids whose
# idempotency key is taken already, `booked` the clients whose quota sufficed, `stored` the ids that are in.
ACCEPT = f"""
with item as materialized (
    select * from unnest({_ITEMS}) as t({", ".join(ACCEPT_COLUMNS)})
), known as materialized (
    select item.id from item join idempotency using (client_id, key) where item.key is not null
), wanted as (
    select item.client_id, count(*) as n, c.quota_monthly as quota
    from item join clients c on c.id = item.client_id
    where item.id not in (select id from known) and not c.suspended
    group by item.client_id, c.quota_monthly
), booked as (
    insert into usage as u (client_id, month, accepted)
    select client_id, date_trunc('month', now() at time zone 'utc')::date, n
    from wanted where quota is null or n <= quota order by client_id
    on conflict (client_id, month) do update set accepted = u.accepted + excluded.accepted
    where u.accepted + excluded.accepted
        <= coalesce((select quota_monthly from clients c where c.id = u.client_id), 9223372036854775807)
    returning client_id
), keyed as (
    insert into idempotency (client_id, key, message_id, digest)
    select client_id, key, id, digest from item
    where key is not null and id not in (select id from known) and client_id in (select client_id from booked)
    order by client_id, key
    on conflict do nothing returning message_id
), fresh as materialized (
    select * from item
    where case when key is null then client_id in (select client_id from booked)
               else id in (select message_id from keyed) end
), stored as (
    insert into messages (id, client_id, template, revision, locale, envelope, data, content, headers, tags, metadata,
                          attachments, traceparent)
    select id, client_id, template, revision, locale, envelope, data, content, headers, tags, metadata, attachments,
           traceparent
    from fresh
    returning id
), queued as (
    insert into queue (id, client_id, lane, state, run_at)
    select id, client_id, lane, case when run_at > now() then 0 else 1 end, coalesce(run_at, now()) from fresh
)
select array(select id from stored), array(select client_id from booked), array(select id from known)
"""

# Which of these are in: asked when the connection broke while they were being stored.
STORED = "select id from messages where id = any($1::uuid[])"
# Whether the server process of that connection is still at it. $1: its process id.
STILL_STORING = """
select exists (select from pg_stat_activity
               where pid = $1 and application_name = 'mailboat-accept' and state = 'active')
"""

# Content first, messages after: `used_at` moves at most once a day, and what it leaves behind is swept by its age.
KEEP_ATTACHMENTS = """
insert into attachments as a (digest, body) select * from unnest($1::bytea[], $2::bytea[])
order by 1 on conflict (digest) do update set used_at = now() where a.used_at < now() - interval '1 day'
"""
ATTACHMENT = "select body from attachments where digest = $1"
# Messages go by whole months, up to 31 days after their time, and what they carry goes after them.
FORGET_ATTACHMENTS = "delete from attachments where used_at < now() - ($1 + 33) * interval '1 day'"

# Gives back what was booked for messages that another request stored first under the same key.
REFUND = """
update usage set accepted = greatest(0, accepted - $2)
where client_id = $1 and month = date_trunc('month', now() at time zone 'utc')::date
"""

REMAINING_QUOTA = """
select c.suspended, c.quota_monthly - coalesce(u.accepted, 0) as remaining
from clients c left join usage u on u.client_id = c.id and u.month = date_trunc('month', now() at time zone 'utc')::date
where c.id = $1
"""

KNOWN_KEYS = """
select t.id, i.message_id, i.digest from unnest($1::uuid[], $2::integer[], $3::text[]) as t(id, client_id, key)
join idempotency i on i.client_id = t.client_id and i.key = t.key
"""

# An attempt is counted here, before anything is sent. Lost without harm, so it need not wait for the disk: a durable
# "sent" comes later in the log, and implies it.
CLAIM = """
with mine as (
    update queue set state = 2, owner = $2, attempts = attempts + 1, updated_at = now()
    where id = any(array(select id from queue where id = any($1::uuid[]) and state = 1 for update skip locked))
    returning id, client_id, lane, attempts, forgiven
)
select mine.id, mine.client_id, mine.lane, mine.attempts, mine.forgiven, m.created_at, m.template, m.revision, m.locale,
       m.envelope, m.data, m.content, m.headers, m.tags, m.attachments, m.traceparent
from mine join messages m on m.id = mine.id
"""


def tell(source: str) -> str:
    """A statement that keeps a fact for everybody who wants to hear of it; it goes into the one that stores the fact.

    `source` has id, client_id, event, at, recipient, provider, bounce, detail and recipients of what happened.
    """
    return f"""
insert into webhook_deliveries (id, endpoint_id, event, body, state)
select gen_random_uuid(), w.id, s.event, json_build_object(
    'type', s.event,
    'timestamp', to_char(s.at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'data', json_build_object('message_id', s.id, 'recipient', s.recipient, 'provider', s.provider, 'bounce', s.bounce,
        'detail', s.detail, 'recipients', s.recipients, 'template', m.template, 'tags', coalesce(m.tags, '{{}}'),
        'metadata', coalesce(m.metadata, '{{}}'))
), case when w.paused_at is null then 0 else 1 end
from {source} s
join webhook_endpoints w on w.client_id = s.client_id and (cardinality(w.events) = 0 or s.event = any(w.events))
left join messages m on m.id = s.id
"""


# Recipients that earlier attempts have settled, for messages that are tried again.
SETTLED = """
select message_id, recipients from attempts where message_id = any($1::uuid[]) and recipients is not null
order by message_id, number
"""

# Columns of one verdict, in the order of BOOK's parameters; BOOK's last parameter is the owner.
BOOK_COLUMNS = {
    "id": "uuid",
    "number": "smallint",
    "state": "smallint",
    "delay": "double precision",
    "provider": "text",
    "provider_message_id": "text",
    "error": "text",
    "outcome": "text",
    "detail": "text",
    "recipients": "jsonb",
    "started_at": "timestamptz",
    "seconds": "real",
}

_VERDICTS = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(BOOK_COLUMNS.values(), 1))

# Fenced: a row that another worker has claimed meanwhile is left alone, but the attempt was a fact and is kept. One
# that nobody has in hand (its claim may have been lost in a crash) is settled by the news that it was sent.
BOOK = f"""
with verdict as materialized (
    select * from unnest({_VERDICTS}) as t({", ".join(BOOK_COLUMNS)})
), booked as (
    update queue q set state = v.state, owner = null, provider = v.provider, error = v.error, updated_at = now(),
        provider_message_id = coalesce(v.provider_message_id, q.provider_message_id),
        attempts = greatest(q.attempts, v.number),
        run_at = case when v.state = 0 then now() + v.delay * interval '1 second' else q.run_at end
    from verdict v where q.id = v.id
        and (q.state = 2 and q.owner = ${len(BOOK_COLUMNS) + 1} and q.attempts = v.number
             or q.state in (0, 1, 5, 7) and v.state = 3)
    returning q.id, q.client_id, v.state, v.provider, v.detail, v.recipients
), ended as (
    select id, client_id, case state when 3 then 'sent' else 'failed' end as event, now() as at, null as recipient,
        provider, null as bounce, detail, recipients
    from booked where state in (3, 4, 5)
), told as ({tell("ended")}), kept as (
    insert into attempts (message_id, number, provider, outcome, detail, recipients, started_at, seconds)
    select id, number, provider, outcome, detail, recipients, started_at, seconds from verdict
    on conflict (message_id, number) do update set provider = excluded.provider, outcome = excluded.outcome,
        detail = excluded.detail, recipients = excluded.recipients, started_at = excluded.started_at,
        seconds = excluded.seconds
    where attempts.outcome = 'abandoned' or excluded.outcome = 'sent'
)
select id from booked
"""

# Back into the queue as if never claimed: what has certainly not been sent. $1: ids, $2: own id, $3: only what was
# claimed until then.
GIVE_BACK = """
update queue set state = 1, owner = null, attempts = attempts - 1, updated_at = now()
where id = any(array(select id from queue where id = any($1::uuid[]) and state = 2 and owner = $2
                     and updated_at <= coalesce($3::timestamptz, now()) for update skip locked))
returning id, client_id, lane
"""

# To the next provider within one delivery: the failed try keeps its row, and the message's next one gets a number of
# its own, which does not count against its retries. $3: the number of the failed try.
MOVE_ON = """
with moved as (
    update queue set attempts = attempts + 1, forgiven = forgiven + 1, provider = $4, error = $6, updated_at = now()
    where id = $1 and state = 2 and owner = $2 and attempts = $3
    returning id
), kept as (
    insert into attempts (message_id, number, provider, outcome, detail, started_at, seconds)
    values ($1, $3, $4, $5, $6, $7, $8) on conflict do nothing
)
select id from moved
"""

# No provider may be asked now: later, as if never claimed. $1: ids, $2: attempt numbers, $3: seconds, $4: why, $5: own
# id.
POSTPONE = """
update queue q set state = 0, owner = null, attempts = q.attempts - 1, error = t.error, updated_at = now(),
    run_at = now() + t.delay * interval '1 second'
from unnest($1::uuid[], $2::smallint[], $3::double precision[], $4::text[]) as t(id, number, delay, error)
where q.id = t.id and q.state = 2 and q.owner = $5 and q.attempts = t.number
"""

REGISTER = "insert into workers (name) values ($1) returning id"
HEARTBEATS = "select id, heartbeat_at from workers"
HEARTBEAT = "update workers set heartbeat_at = now() where id = $1 returning id"
# A row with its id again, should housekeeping have taken us for dead.
REVIVE = "insert into workers (id, name) values ($1, $2) on conflict (id) do update set heartbeat_at = now()"
# The end of a life; what it still owns is taken over at once.
RETIRE = "delete from workers where id = $1"

RELEASE_DUE = """
update queue set state = 1, updated_at = now()
where id = any(array(select id from queue where state = 0 and run_at <= now()
                     order by run_at limit $1 for update skip locked))
returning id, client_id, lane
"""

# Retries that were dated before the clock was set back: as late by the new time as they were by the old one. What a
# caller has dated stays where it is.
SET_BACK = """
update queue set run_at = run_at - (updated_at - now()), updated_at = now()
where id = any(array(select id from queue where state = 0 and updated_at > now() + interval '1 second'
                         and (attempts > 0 or error is not null) for update skip locked))
"""

# Nobody has claimed these for $2 seconds: the hint was lost, if the lane's doorbell is empty or they are its oldest.
# What was touched in the future was so before the clock was set back.
RING_AGAIN = """
update queue set updated_at = now()
where id = any(array(select id from queue
                     where state = 1 and lane = $1
                         and updated_at not between now() - $2 * interval '1 second' and now() + interval '1 minute'
                     order by run_at limit $3 for update skip locked))
returning id, client_id, lane
"""

# For sweeps without a doorbell: of each lane the oldest and the newest, lest a client's million hold up what others
# have just sent. $1: how many of either.
WAITING = """
select found.* from unnest(array[0, 1, 2]) as wanted(lane), lateral (
    (select id, client_id, lane from queue q where state = 1 and q.lane = wanted.lane order by run_at limit $1)
    union
    (select id, client_id, lane from queue q where state = 1 and q.lane = wanted.lane order by run_at desc limit $1)
) as found order by lane
"""

# $1: attempts in all. A client that wants uncertain mail held gets it held: the mail may have been on its way out.
_TAKE_OVER = """
with gone as (
    select id, client_id, attempts, forgiven from queue where state = 2 and {condition} limit 500 for update skip locked
), fate as (
    select gone.id, gone.attempts,
        case when c.on_uncertain = 'hold' then 7
             when gone.attempts - gone.forgiven >= coalesce(c.retry_attempts, $1) then 5
             else 1 end as state
    from gone left join clients c on c.id = gone.client_id
), moved as (
    update queue q set state = fate.state, owner = null, updated_at = now(),
        error = case when fate.state = 1 then q.error else 'the worker stopped before it knew the outcome' end
    from fate where q.id = fate.id
    returning q.id, q.client_id, q.lane, q.state, q.provider, q.error, fate.attempts
), ended as (
    select id, client_id, 'failed' as event, now() as at, null as recipient, provider, null as bounce, error as detail,
        null as recipients
    from moved where state = 5
), told as ({tell}), kept as (
    insert into attempts (message_id, number, outcome, detail)
    select id, attempts, 'abandoned', 'the worker stopped before it knew the outcome' from moved
    on conflict do nothing
)
select id, client_id, lane, state from moved
"""

# Their owner's heart stands still, or it never existed. $2, $3: ids and last beats of such owners; one that has beaten
# since is alive.
TAKE_OVER_DEAD = _TAKE_OVER.format(
    tell=tell("ended"),
    condition="(owner in (select id from workers join unnest($2::int[], $3::timestamptz[]) as still(id, heartbeat_at) "
    "using (id, heartbeat_at)) or not exists (select from workers where workers.id = queue.owner))",
)
# Earlier lives of the same slot are dead by definition. $2: name, $3: own id.
TAKE_OVER_NAMESAKES = _TAKE_OVER.format(
    tell=tell("ended"), condition="owner in (select id from workers where name = $2 and id <> $3)"
)
# Mine, but not among what I hold: the claim was committed and its answer lost. $2: own id, $3: ids that I held at some
# time after $4. What is claimed is held from before its claim until after its booking.
TAKE_OVER_LOST = _TAKE_OVER.format(
    tell=tell("ended"),
    condition="owner = $2 and updated_at not between $4 and $4 + interval '1 minute' and id <> all($3::uuid[])",
)

# Again, as if new: attempts so far are forgiven. $1: ids, $2: states that may be replayed.
REPLAY = """
update queue set state = 1, forgiven = attempts, run_at = now(), error = null, updated_at = now()
where id = any(array(select id from queue where id = any($1::uuid[]) and state = any($2::smallint[])
                     for update skip locked))
returning id, client_id, lane
"""
# A person decided that held mail is not to be sent again. $1: ids.
GIVE_UP = f"""
with given_up as (
    update queue set state = 4, error = 'given up by a person: ' || coalesce(error, ''), updated_at = now()
    where id in (select id from queue where id = any($1::uuid[]) and state = 7 for update skip locked)
    returning id, client_id, provider, error
), ended as (
    select id, client_id, 'failed' as event, now() as at, null as recipient, provider, null as bounce, error as detail,
        null as recipients
    from given_up
), told as ({tell("ended")})
select id from given_up
"""

FORGET_WORKERS = """
delete from workers w where heartbeat_at < now() - $1 * interval '1 second'
and not exists (select from queue where state = 2 and owner = w.id)
"""
FORGET_KEYS = "delete from idempotency where created_at < now() - $1 * interval '1 day'"
