"""Write tickets-train.jsonl and tickets-test.jsonl: support tickets with a category and a priority.

    python specs/data/make_tickets.py

A ticket is what happened (which decides the category) and how urgent it is (which decides the priority). No sentence of
the test file occurs in the training file: what is measured is whether the model understood the task, not whether it
remembers phrases. The training file is a little dirty on purpose (repeated rows, stray blanks, an empty ticket, e-mail
addresses), so that the cleaning steps of quickstart.yaml have something to do.
"""

import json
import random
from pathlib import Path

SEED = 7
HERE = Path(__file__).parent

TRAIN = {
    "payment": [
        "I was charged twice for the same month.",
        "My invoice shows a higher amount than the price on your website.",
        "The discount code was not applied to my bill.",
        "Please send me a receipt for last month's payment.",
        "Why did the price on my statement go up?",
        "There is a fee on my bill that I do not recognise.",
        "I need an invoice with our company's tax number on it.",
        "The refund you promised has not reached my bank account.",
        "My card was declined although there is money on it.",
        "I paid by bank transfer and the invoice still says unpaid.",
        "Can I pay once a year instead of every month?",
        "You took 49 dollars from my card and I do not know what for.",
        "The tax on my invoice is calculated wrongly.",
        "I would like to change the credit card that you charge.",
        "Your payment reminder came although I have already paid.",
        "We were billed for ten seats but only use six.",
        "The amount on the receipt and the amount on my card differ.",
        "Where can I download all invoices of this year?",
        "I was billed in dollars instead of euros.",
        "The payment page charged me for an extra item.",
        "Is there a cheaper price for students?",
        "My gift card balance was not deducted from the total.",
        "I already transferred the money, why does it still say open?",
        "When will I get back what I paid for the order I returned?",
        "The monthly price rose although my plan is the same.",
        "Your service fee was charged twice.",
    ],
    "delivery": [
        "My parcel has not arrived yet.",
        "The tracking number you sent does not work.",
        "The package was delivered to the wrong house.",
        "The box arrived damaged and one cup is broken.",
        "One item is missing from my delivery.",
        "How long does delivery to Canada take?",
        "I would like my order sent to a different address.",
        "The courier says that the parcel was returned to you.",
        "The tracking page has not changed for six days.",
        "I received a blue jacket but ordered a black one.",
        "Can you deliver on a Saturday?",
        "The driver left the package in the rain.",
        "My order was split and only the first half came.",
        "Do you ship to Norway?",
        "The parcel is stuck in customs.",
        "The delivery was marked as done but nothing is here.",
        "When will my order leave your warehouse?",
        "I was not at home and the courier did not leave a note.",
        "The package was opened before it reached me.",
        "Please send my parcel to a pick-up point.",
        "The express delivery took eight days.",
        "Which courier brings my order?",
        "The fast shipping that I chose was not fast at all.",
        "The courier threw the box over the gate.",
        "I ordered size 38 and you sent size 41.",
        "The package is said to be signed for, but not by me.",
    ],
    "account": [
        "I forgot my password and the reset e-mail never arrives.",
        "I cannot log in to my account.",
        "Please change the e-mail address of my profile.",
        "My account is locked after too many attempts.",
        "How do I add a second user to our team account?",
        "The login code is sent to my old phone number.",
        "I want to change my user name.",
        "Someone else has logged in to my account.",
        "My profile shows a wrong date of birth.",
        "I have two accounts and want to merge them.",
        "How can I turn on two-factor login?",
        "The link that confirms my e-mail address has expired.",
        "I lost the phone with my login app.",
        "Please give my colleague administrator rights.",
        "My user name is rejected when I sign in.",
        "I registered with a wrong e-mail address.",
        "How do I change my password?",
        "The site says that my account does not exist.",
        "I need to transfer my account to a new owner.",
        "Our former employee can still log in, please remove her user.",
        "My last name has changed, how do I update my profile?",
        "Sign-in with my Google account stopped working.",
        "Please withdraw the rights of a person who no longer works here.",
        "My old phone is gone and the code for logging in goes there.",
        "I mistyped my e-mail address when I registered.",
        "How do I get a new password?",
    ],
    "technical": [
        "The app crashes when I open the settings.",
        "The page stays white after I click on save.",
        "I get error 500 when I upload a file.",
        "The search does not find anything any more.",
        "The export to Excel creates an empty file.",
        "The mobile app is very slow since the update.",
        "The printer is not recognised by your software.",
        "Notifications do not appear on my phone.",
        "The video stops after ten seconds.",
        "The calendar does not synchronise with Outlook.",
        "The installation stops with an unknown error.",
        "The buttons are not visible in dark mode.",
        "Your API returns a timeout for each request.",
        "The dashboard shows no data in the chart.",
        "The app freezes when I turn the screen.",
        "Pictures are shown upside down after the upload.",
        "The keyboard shortcut for copy does not work.",
        "The software does not start on Windows 11.",
        "The map does not load in Firefox.",
        "The sound is missing in every call.",
        "Saving a document takes several minutes.",
        "The update failed and now the program shows an error.",
        "The program shuts down while I type.",
        "The window is empty after I press send.",
        "A menu is missing in the new version.",
        "The tablet app hangs and has to be restarted.",
    ],
    "cancel": [
        "I want to cancel my subscription.",
        "Please close my contract at the end of the month.",
        "I no longer need your service, how do I end it?",
        "Stop the automatic renewal of my plan.",
        "Please cancel my order from this morning.",
        "I would like to terminate my membership.",
        "How do I unsubscribe from the premium plan?",
        "We are moving to another provider and end our contract.",
        "Cancel my trial before it becomes a paid plan.",
        "I do not want to continue after the trial.",
        "Please end my plan, I do not use it any more.",
        "What is the notice period for ending my contract?",
        "I have changed my mind, please cancel the booking.",
        "My company closes, so please terminate our contract.",
        "I tried to cancel but find no button for it.",
        "Please confirm that my subscription has been cancelled.",
        "I want to leave your service for good.",
        "Do not renew my membership next year.",
        "I ordered the wrong plan, please cancel it.",
        "Can I cancel my yearly plan early?",
        "Please withdraw my order, I found it elsewhere.",
        "I am giving notice for my subscription.",
        "The test period was nice, but please do not turn it into a plan.",
        "My subscription must not go on after this month.",
        "I do not want the articles any more that I ordered.",
        "I wish to stop my membership.",
    ],
}

TEST = {
    "payment": [
        "Two identical payments left my bank account for one purchase.",
        "The sum on this month's bill is more than we agreed.",
        "My voucher made no difference to what I had to pay.",
        "Could you issue a proof of payment for our accountant?",
        "My monthly cost suddenly rose by five dollars.",
        "What does the service charge on my bill stand for?",
        "Our VAT number is missing from the invoice.",
        "I am still waiting for my money back from the returned shoes.",
        "Your system refuses my Visa card at checkout.",
        "The money was sent last week, yet you still show an open balance.",
        "Do you offer yearly payment?",
        "An unexpected payment to your company is on my credit card statement.",
        "You billed me full price even though I had a coupon.",
        "From now on please charge my other bank card.",
        "I got a late payment warning for a bill that is settled.",
        "We pay for more licences than we have people.",
        "My receipt shows 20 euros but 25 were debited.",
        "I need copies of the invoices from January to March.",
        "Why was I charged in a foreign currency?",
        "You have overcharged me.",
        "Can I get the reduced price for schools on my next invoice?",
    ],
    "delivery": [
        "Where is my package? It should have been here on Monday.",
        "I cannot follow my shipment with the number you gave me.",
        "My neighbour across town got my parcel.",
        "The lamp was shattered when I unpacked the carton.",
        "Two of the five books were not in the box.",
        "How many days until an order reaches Spain?",
        "I have moved, can the delivery go to my new home?",
        "The carrier sent my order back to the sender.",
        "My shipment has been sitting in the same depot for a week.",
        "You sent me size 40 shoes instead of size 42.",
        "Is it possible to have the parcel brought in the evening?",
        "The mailman threw my package over the fence.",
        "Only part of my order was in the delivery.",
        "Can you send a parcel to Brazil?",
        "Customs is holding my shipment.",
        "According to the carrier I signed for the parcel, but I never got it.",
        "Has my order been dispatched yet?",
        "Nobody rang the bell, and now the parcel is at some depot.",
        "The seal of the carton was torn when the courier handed it over.",
        "May I collect the package at the post office?",
        "Overnight delivery was promised, and the parcel came after a week.",
    ],
    "account": [
        "The website does not accept my password any more.",
        "I am locked out of my profile.",
        "Please replace the mail address in my user profile.",
        "Too many wrong passwords, and now my login is blocked.",
        "How can I invite a co-worker to our company account?",
        "My verification code goes to a phone that I no longer own.",
        "Is it possible to have a different user name?",
        "I see logins to my account from a country where I have never been.",
        "My name is spelled wrong in my profile.",
        "Can you join my old and my new user account?",
        "Where do I switch on the second step for logging in?",
        "The activation link for my new account is no longer valid.",
        "My authenticator app was wiped and I cannot sign in.",
        "Make my assistant an admin of our account, please.",
        "It says unknown user when I enter my login name.",
        "There is a typo in the e-mail address that I signed up with.",
        "Where can I set a new password?",
        "You say that no account is registered for my e-mail.",
        "My successor should take over my user account.",
        "Please take away the access rights of a colleague who has left.",
        "After my wedding I need a different surname on my profile.",
    ],
    "technical": [
        "Your program closes by itself as soon as I go to the options.",
        "Nothing but a blank screen after pressing the submit button.",
        "Uploading a photo ends with a server error.",
        "The search box gives no results for any word.",
        "The PDF that I export has no content.",
        "Since version 5 the application takes ages to load.",
        "The software cannot find my scanner.",
        "I do not get push messages from the app on my tablet.",
        "The live stream breaks off after a few seconds.",
        "Events from the app are not copied into my Google calendar.",
        "Setup aborts at 80 percent with a strange message.",
        "Text is unreadable on the dark background of the app.",
        "The REST interface answers with a gateway timeout.",
        "The graphs in the report are empty.",
        "The screen hangs whenever I rotate my tablet.",
        "Thumbnails look distorted in the gallery.",
        "The undo function does nothing in the editor.",
        "On my Mac the program will not launch.",
        "Your website is displayed incorrectly in Safari.",
        "My microphone does not work in your app.",
        "There is a bug in the latest release, the menu has disappeared.",
    ],
    "cancel": [
        "I wish to end my subscription.",
        "Kindly terminate our agreement as of the 30th.",
        "Your service is of no use to me now, how can I quit?",
        "My plan must not be extended automatically.",
        "I placed an order an hour ago and want to revoke it.",
        "Please remove me from the membership programme.",
        "How can I get out of the premium subscription?",
        "We have chosen a competitor and will stop using your product.",
        "The free trial was enough for me, please do not convert it.",
        "I am quitting after the test month.",
        "I hardly ever use the plan, so please discontinue it.",
        "How many weeks ahead must I give notice to end the contract?",
        "We cannot come, please cancel our reservation.",
        "Our firm is being dissolved, so the contract has to end.",
        "I cannot see where to cancel on your website.",
        "Did you receive the cancellation of my plan?",
        "I have decided to stop being a customer.",
        "Next year I do not wish to be a member any longer.",
        "I booked the wrong subscription by accident, please undo it.",
        "Is an early end of the two-year contract possible?",
        "I do not want the things I ordered any more, please cancel.",
    ],
}

TRAIN_PRIORITY = {
    "high": [
        "This is urgent.",
        "Please help immediately!",
        "I need this solved today.",
        "It cannot wait until tomorrow.",
        "We are losing money every hour.",
        "Please treat this as an emergency.",
        "Everything here stands still because of it.",
        "I need an answer right now.",
        "As soon as possible, please!",
        "My deadline is in two hours.",
        "This is critical for our business.",
        "Please hurry, my customers are waiting.",
        "We need somebody on this within minutes.",
        "This must be done before noon today.",
        "I am desperate, please do something now.",
        "Nobody in our office can work like this.",
        "Top priority, please.",
        "Every hour of waiting costs us money.",
        "Please answer me today, it is serious.",
        "I need a solution right away!",
        "I expect a reply today.",
        "Our whole office waits for this.",
    ],
    "normal": [
        "There is no hurry.",
        "Thank you for your help.",
        "Whenever you have time.",
        "Have a nice day.",
        "It is not important, I am just asking.",
        "Next week is early enough.",
        "Take your time.",
        "Kind regards.",
        "I can wait for an answer.",
        "Thanks in advance!",
        "It is only a small thing.",
        "No rush at all.",
        "Please answer when you find the time.",
        "It can wait until next month.",
        "I only want to know, nothing is pressing.",
        "Best wishes.",
        "Thank you very much!",
        "Any day this week is fine.",
        "A short reply some time is enough.",
        "There is plenty of time.",
        "Reply whenever it is convenient for you.",
        "This is not an emergency.",
        "Nothing about this is urgent.",
        "Please take as long as you like.",
        "I have a little question only.",
        "It may wait for some days.",
    ],
}

TEST_PRIORITY = {
    "high": [
        "I need help at once!",
        "It is extremely urgent.",
        "This has to be fixed within the hour.",
        "Our whole team cannot work until this is solved.",
        "Please act now, every minute counts.",
        "Drop everything, this is an emergency for us!",
        "I must have an answer today.",
    ],
    "normal": [
        "It is not urgent.",
        "Many thanks and best wishes.",
        "Answer when it suits you.",
        "This can wait a few days.",
        "Just a small question.",
        "Please take the time you need.",
        "Thanks a lot!",
    ],
}

SIGNATURES = ["", "", "", " Reach me at {name}@example.com.", " My e-mail is {name}@example.org."]
NAMES = ["ana", "ben.cole", "chioma", "dmitri", "ella.w", "farid", "grace", "hiro"]


def tickets(openings, closings, signatures, random_):
    """Every opening once with a high and once with a normal priority; yields rows."""
    for category, sentences in openings.items():
        for sentence in sentences:
            for priority, phrases in closings.items():
                signature = random_.choice(signatures).format(name=random_.choice(NAMES))
                text = f"{sentence} {random_.choice(phrases)}{signature}"
                yield {"text": text, "category": category, "priority": priority}


def dirty(rows, random_):
    """Add what real exports have: repeated rows, stray blanks, an empty ticket."""
    repeated = random_.sample(rows, 6)
    blanks = [{**row, "text": f"  {row['text']}\n"} for row in random_.sample(rows, 4)]
    return rows + repeated + blanks + [{"text": "   ", "category": "payment", "priority": "normal"}]


def write(name, rows, random_):
    """Write the rows in random order."""
    random_.shuffle(rows)
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    (HERE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    """Write both files; the same seed gives the same bytes."""
    random_ = random.Random(SEED)
    write("tickets-train.jsonl", dirty(list(tickets(TRAIN, TRAIN_PRIORITY, SIGNATURES, random_)), random_), random_)
    write("tickets-test.jsonl", list(tickets(TEST, TEST_PRIORITY, [""], random_)), random_)


if __name__ == "__main__":
    main()
